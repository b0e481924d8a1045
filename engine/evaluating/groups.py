"""The 19 groups of organs whose uptake is compared report by report, as PET2Rep does with its own.

PET2Rep (arXiv 2508.04062) compares 19 organs and does not list them in print; these are ours, made
of the organ groups of the table of sites in the order of a structured PET report.
"""

GROUPS: dict[str, tuple[str, ...]] = {
    "brain": ("Brain",),
    "eyes and sinuses": ("Eye", "Paranasal sinus"),
    "pharynx and larynx": (
        "Nasopharynx", "Oropharynx", "Oral cavity", "Tonsil", "Hypopharynx", "Larynx",
    ),
    "salivary glands": ("Salivary gland",),
    "thyroid": ("Thyroid",),
    "lymph nodes": ("Lymph node",),
    "lung and pleura": ("Lung", "Pleura"),
    "heart and vessels": ("Heart", "Vessel"),
    "esophagus": ("Esophagus",),
    "liver": ("Liver",),
    "gallbladder": ("Gallbladder",),
    "pancreas": ("Pancreas",),
    "spleen": ("Spleen",),
    "kidneys": ("Kidney",),
    "adrenals": ("Adrenal",),
    "stomach": ("Stomach",),
    "bowel": ("Bowel",),
    "pelvic organs": ("Prostate", "Uterus", "Ovary", "Testis", "Penis", "Bladder"),
    "bone": ("Bone",),
}  # fmt: skip
# what belongs to none of them is not compared
OUTSIDE = frozenset(
    {"Head", "Neck", "Chest", "Abdomen", "Pelvis", "Extremity", "Axilla", "Breast", "Chest wall"}
    | {"Mediastinum", "Peritoneum", "Retroperitoneum", "Muscle", "Skin/soft tissue"}
)
GROUP_OF = {organ: group for group, organs in GROUPS.items() for organ in organs}
