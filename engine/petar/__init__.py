"""PETAR: a mask-aware 3D vision-language model for PET/CT (arXiv 2510.27680)."""
