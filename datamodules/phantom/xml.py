"""A study as the XML of Open-i's reports archive."""

from xml.sax.saxutils import escape, quoteattr

from mcmfh_lightning.datamodules.labels import NORMAL
from mcmfh_lightning.datamodules.phantom.findings import UNSIDED, Finding
from mcmfh_lightning.datamodules.phantom.report import Report
from mcmfh_lightning.datamodules.phantom.study import PhantomStudy

TITLE = "mcmfh-lightning phantom: drawn chest films, not of patients"


def study_to_xml(study: PhantomStudy, report: Report, major: tuple[str, ...]) -> bytes:
    """Write the elements in upstream's order; the licence says that the drawings are free (CC0)."""
    sections = {
        "COMPARISON": report.comparison,
        "INDICATION": report.indication,
        "FINDINGS": report.findings,
        "IMPRESSION": report.impression,
    }
    abstract = "".join(f"<AbstractText Label={quoteattr(k)}>{escape(v)}</AbstractText>\n" for k, v in sections.items())
    mesh = "".join(f"<major>{escape(term)}</major>\n" for term in major)
    automatic = sorted(label.lower() for label in study.mentioned)
    mesh += "".join(f"<automatic>{escape(term)}</automatic>\n" for term in automatic)
    return f"""<?xml version="1.0" encoding="utf-8"?>
<eCitation>
<meta type="rr"/>
<uId id="CXR{study.number}"/>
<pmcId id="{study.number}"/>
<docSource>CXR</docSource>
<IUXRId id="{study.number}"/>
<licenseType>open-access</licenseType>
<licenseURL>https://creativecommons.org/publicdomain/zero/1.0/</licenseURL>
<ccLicense>cc0</ccLicense>
<articleURL/>
<articleDate>2013-08-01</articleDate>
<articleType>XR</articleType>
<publisher>mcmfh-lightning</publisher>
<title>{escape(TITLE)}</title>
<MedlineCitation>
<Article PubModel="Electronic">
<ArticleTitle>{escape(TITLE)}</ArticleTitle>
<Abstract>
{abstract}</Abstract>
</Article>
</MedlineCitation>
<MeSH>
{mesh}</MeSH>
{"".join(_image(image_id, number) for number, image_id in enumerate(study.images, start=1))}</eCitation>
""".encode()


def major_terms(study: PhantomStudy) -> tuple[str, ...]:
    """MeSH headings with qualifiers, as upstream writes them: ``Pleural Effusion/left``."""
    return tuple(_term(finding) for finding in study.findings) or (NORMAL,)


def _term(finding: Finding) -> str:
    return finding.label if finding.label in UNSIDED else f"{finding.label}/{finding.side}"


def _image(image_id: str, number: int) -> str:
    return f"""<parentImage id={quoteattr(image_id)}>
<figureId>F{number}</figureId>
<caption>Xray Chest PA</caption>
</parentImage>
"""
