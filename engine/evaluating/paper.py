"""Figures that PETAR's authors print (arXiv 2510.27680), which nobody here has measured again.

They are of 1175 lesions of PETARSeg-11K, another test set than any that is judged here. "BLEU" is
BLEU-4 by the text and unigram BLEU by the released code; METEOR has synonyms; the scale of CIDEr is
not stated.
"""

TEST_SET = "1175 lesions of PETARSeg-11K"
COLUMNS = ("BLEU", "ROUGE-L", "METEOR", "CIDEr", "BARTScore", "BERTScore", "RaTEScore", "GREEN")
TABLE_2 = {"PETAR-4B": (0.535, 0.524, 0.560, 0.457, -4.00, 0.795, 0.713, 0.257)}
TABLE_3 = {
    "focal view alone": (0.528, 0.518, 0.550, 0.397, None, None, None, 0.226),
}
# 116 pairs, five physicians; Spearman correlation of each metric with their scores
READERS = {
    "GREEN": 0.592, "RaTEScore": 0.550, "BERTScore": 0.511, "ROUGE-L": 0.471, "METEOR": 0.438,
    "CIDEr": 0.421, "BLEU": 0.214, "BARTScore": 0.168,
}  # fmt: skip
