"""What kind of optimum a fit reached, and the evidence."""

from moestat.certificate.examine import FLAT_TOLERANCE, examine
from moestat.certificate.optimum import DISTINCT_LOGLIK, Certificate, Optimum, Rival
from moestat.certificate.status import GRADIENT_TOLERANCE, OPEN_ENDED, SPIKES, Status
from moestat.certificate.words import in_words

__all__ = [
    "DISTINCT_LOGLIK",
    "FLAT_TOLERANCE",
    "GRADIENT_TOLERANCE",
    "OPEN_ENDED",
    "SPIKES",
    "Certificate",
    "Optimum",
    "Rival",
    "Status",
    "examine",
    "in_words",
]
