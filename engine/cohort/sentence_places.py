"""The words for each place, where it is not called by its own name in the table of sites."""

from collections.abc import Mapping

from engine.cohort.body_bones import vertebrae
from engine.cohort.sentence_phrases import Style

# before the lesion: "hepatic mass"
SITE_WORDS: Mapping[Style, Mapping[str, str]] = {
    "home": {
        "upper lobe of lung": "upper lobe", "lower lobe of lung": "lower lobe",
        "liver": "hepatic", "level IB LN": "cervical level IB", "level II LN": "cervical level II",
        "level III LN": "cervical level III", "level IV LN": "cervical level IV",
        "level V LN": "cervical level V", "station 7 LN": "subcarinal", "celiac LN": "celiac",
        "cervix uteri": "cervix", "esophagus": "esophageal", "pancreas": "pancreatic",
        "spleen": "splenic", "stomach": "gastric", "kidney": "renal", "adrenal gland": "adrenal",
        "pleura": "pleural", "mediastinum": "mediastinal", "peritoneal cavity": "peritoneal",
    },
    # what is missing is called by its own name: "liver", which no sentence at home says so
    "unseen": {
        **{name: f"{name}l body" for name, _, _ in vertebrae()},
        "right middle lobe": "RML", "upper lobe of lung": "upper lung lobe",
        "lower lobe of lung": "lower lung lobe", "nasopharynx": "nasopharyngeal",
        "base of tongue": "tongue base", "tongue": "lingual", "larynx": "laryngeal",
        "hypopharynx": "hypopharyngeal", "cecum": "cecal", "sigmoid colon": "sigmoid",
        "rectum": "rectal", "anus": "anal canal", "prostate": "prostatic",
        "cervix uteri": "uterine cervix", "uterus": "uterine", "brain": "cerebral",
        "peritoneal cavity": "peritoneum", "parotid gland": "parotid",
        "submandibular gland": "submandibular", "thyroid": "thyroid gland",
        "palatine tonsil": "tonsillar", "breast": "mammary", "ovary": "ovarian",
        "cerebellum": "cerebellar", "maxillary sinus": "maxillary antrum", "testis": "testicular",
        "chest wall": "thoracic wall", "buttock": "gluteal", "sacrum": "sacral",
        "sternum": "sternal", "manubrium": "manubrial", "skull": "cranium", "ilium": "iliac bone",
        "rib": "costal", "scapula": "scapular", "clavicle": "clavicular", "femur": "femoral",
        "humerus": "humeral", "acetabulum": "acetabular", "ischium": "ischial",
        "pubis": "pubic bone", "mandible": "mandibular", "sacroiliac joint": "SI joint",
        "level II LN": "neck level II", "level III LN": "neck level III",
        "level IV LN": "neck level IV", "level V LN": "neck level V", "axillary LN": "axilla",
        "internal mammary LN": "parasternal", "hilar LN": "lung hilar",
        "para-aortic LN": "periaortic", "common iliac LN": "common iliac chain",
        "external iliac LN": "external iliac chain", "internal iliac LN": "hypogastric",
        "inguinal LN": "groin", "celiac LN": "celiac axis", "mesenteric LN": "mesentery",
        "mesorectal LN": "perirectal", "presacral LN": "sacral",
    },
}  # fmt: skip

# of normal uptake, after "in the"
PLACES: Mapping[Style, Mapping[str, str]] = {
    "home": {},
    "unseen": {
        "urinary bladder": "bladder", "heart": "myocardium", "cecum": "caecum",
        "sigmoid colon": "sigmoid", "palatine tonsil": "tonsil", "testis": "testicle",
    },
}  # fmt: skip
