"""What reports say, three times over: train, val and test never share a sentence.

So a text tower cannot recognise the sentence of a finding, it has to know what the words mean. ``{side}`` is right or
left, ``{size}`` small, moderate or large, ``{zone}`` the part of the lung.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mcmfh_lightning.shards.info import Split


@dataclass(frozen=True)
class Wording:
    """How the readers of one split write.

    Attributes:
        present: sentences that state a finding, by label.
        absent: sentences that deny one, by label.
        anatomy: sentences about what is as it should be.
        normal: impressions of a study without any finding.
        indications: why the film was taken.
    """

    present: Mapping[str, tuple[str, ...]]
    absent: Mapping[str, tuple[str, ...]]
    anatomy: tuple[str, ...]
    normal: tuple[str, ...]
    indications: tuple[str, ...]


_TRAIN = Wording(
    present={
        "Airspace Disease": (
            "There is patchy airspace disease in the {side} {zone} lung.",
            "Focal consolidation is seen in the {side} {zone} zone.",
            "{side} {zone} lung infiltrate, suspicious for pneumonia.",
            "An ill-defined airspace opacity projects over the {side} {zone} lung.",
            "Findings of {side} {zone} lobe pneumonia.",
        ),
        "Calcified Granuloma": (
            "Scattered calcified granulomas are noted in the {side} {zone} lung.",
            "Calcified granulomata on the {side}.",
            "Small dense calcified nodules in the {side} lung are consistent with old granulomatous disease.",
            "Multiple punctate calcifications of the {side} {zone} lung compatible with granulomas.",
        ),
        "Cardiomegaly": (
            "The heart is enlarged.",
            "Cardiomegaly is present.",
            "The cardiac silhouette is mildly enlarged.",
            "Heart size is above the upper limits of normal.",
            "Enlargement of the cardiomediastinal silhouette.",
        ),
        "Catheters, Indwelling": (
            "A {side} chest port catheter tip overlies the superior vena cava.",
            "{side} subclavian central venous catheter in place.",
            "{side}-sided Port-A-Cath with its tip in the SVC.",
            "A central line enters from the {side} and ends at the cavoatrial junction.",
        ),
        "Diaphragmatic Eventration": (
            "There is elevation of the {side} hemidiaphragm.",
            "Eventration of the {side} diaphragm.",
            "The {side} hemidiaphragm is elevated.",
            "Stable eventration of the {side} hemidiaphragm.",
        ),
        "Implanted Medical Device": (
            "A {side}-sided cardiac pacemaker is present with its lead in the right ventricle.",
            "{side} chest pacemaker generator and intact lead.",
            "Implanted cardiac defibrillator on the {side}.",
            "Pacing device overlies the {side} upper chest.",
        ),
        "Nodule": (
            "There is a round nodule in the {side} {zone} lung.",
            "Solitary pulmonary nodule on the {side}, CT is recommended.",
            "A well-defined noncalcified nodule projects over the {side} {zone} zone.",
            "{side} lung nodule.",
        ),
        "Pleural Effusion": (
            "There is a {size} {side} pleural effusion.",
            "Blunting of the {side} costophrenic angle from a {size} effusion.",
            "{size} {side}-sided pleural effusion.",
            "A {size} amount of pleural fluid is seen on the {side}.",
            "The {side} costophrenic sulcus is obscured by effusion.",
        ),
        "Pneumothorax": (
            "There is a {size} {side} pneumothorax.",
            "{size} {side} apical pneumothorax with a visible pleural line.",
            "{side}-sided pneumothorax is present.",
            "A pneumothorax is seen on the {side}.",
        ),
        "Pulmonary Atelectasis": (
            "Bandlike atelectasis at the {side} lung base.",
            "There is subsegmental atelectasis in the {side} base.",
            "{side} basilar linear atelectasis.",
            "Streaky opacities at the {side} base, compatible with atelectasis.",
        ),
        "Pulmonary Congestion": (
            "There is pulmonary vascular congestion.",
            "Prominent central vascular markings suggest congestion.",
            "Perihilar vessels are engorged, consistent with pulmonary venous congestion.",
            "Mild pulmonary edema with vascular congestion.",
        ),
        "Pulmonary Emphysema": (
            "The lungs are hyperexpanded with flattened diaphragms.",
            "Hyperinflation consistent with emphysema.",
            "Emphysematous changes of both lungs.",
            "Flattening of the diaphragm and lucent lungs suggest COPD.",
        ),
        "Scoliosis": (
            "There is scoliosis of the thoracic spine.",
            "The thoracic spine shows a scoliotic curvature to the {side}.",
            "Moderate dextro- or levoscoliosis is noted.",
            "Scoliosis is present.",
        ),
        "Surgical Instruments": (
            "Median sternotomy wires and surgical clips are noted.",
            "Postoperative changes of median sternotomy.",
            "Sternotomy wires are intact and mediastinal clips are present.",
            "Surgical clips and sternal wires from bypass grafting.",
        ),
    },
    absent={
        "Airspace Disease": ("No focal consolidation is seen.", "The lungs are clear of infiltrate."),
        "Cardiomegaly": ("The heart size is normal.", "The heart is normal in size and contour."),
        "Nodule": ("No suspicious nodule is identified.",),
        "Pleural Effusion": ("There is no pleural effusion.", "No large effusion."),
        "Pneumothorax": ("There is no pneumothorax.", "Negative for pneumothorax."),
        "Pulmonary Congestion": ("The pulmonary vasculature is within normal limits.",),
    },
    anatomy=(
        "The trachea is midline.",
        "Visualized osseous structures are intact.",
        "The mediastinum is unremarkable.",
        "Soft tissues are unremarkable.",
        "No acute bony abnormality.",
        "The XXXX are grossly unremarkable.",
    ),
    normal=(
        "No acute cardiopulmonary abnormality.",
        "Normal chest x-XXXX.",
        "No active disease.",
        "Normal exam.",
        "Negative for acute cardiopulmonary findings.",
    ),
    indications=("Shortness of breath.", "Cough and fever.", "XXXX-year-old XXXX with chest pain."),
)

_VAL = Wording(
    present={
        "Airspace Disease": (
            "Consolidation has developed in the {side} {zone} lung.",
            "{side} {zone} opacity that favors pneumonia.",
        ),
        "Calcified Granuloma": (
            "Old calcified granulomas are seen on the {side}.",
            "Sequela of granulomatous infection, with calcified foci in the {side} lung.",
        ),
        "Cardiomegaly": ("Cardiomegaly is again noted.", "The heart appears large."),
        "Catheters, Indwelling": (
            "The {side} central venous catheter terminates over the SVC.",
            "An indwelling port is noted on the {side}.",
        ),
        "Diaphragmatic Eventration": (
            "Elevated {side} hemidiaphragm, probably eventration.",
            "The {side} diaphragm sits high.",
        ),
        "Implanted Medical Device": (
            "A pacemaker is implanted on the {side}.",
            "{side} pacing generator with a lead to the ventricle.",
        ),
        "Nodule": ("A nodule is visible in the {side} {zone} lung.", "Rounded {side} pulmonary nodule."),
        "Pleural Effusion": (
            "{size} effusion layers in the {side} pleural space.",
            "Pleural effusion on the {side}, {size} in amount.",
        ),
        "Pneumothorax": ("{size} pneumothorax on the {side}.", "Pneumothorax of the {side} apex is visible."),
        "Pulmonary Atelectasis": (
            "Platelike atelectasis of the {side} lower lung.",
            "Linear densities at the {side} base represent atelectasis.",
        ),
        "Pulmonary Congestion": (
            "Congested pulmonary vessels.",
            "Vascular congestion with hazy perihilar markings.",
        ),
        "Pulmonary Emphysema": (
            "Hyperinflated lungs in keeping with emphysema.",
            "The diaphragms are flat as in chronic obstructive disease.",
        ),
        "Scoliosis": ("Thoracic scoliosis.", "Curvature of the spine convex to the {side}."),
        "Surgical Instruments": (
            "Sternal wires and clips after cardiac surgery.",
            "There are surgical clips over the mediastinum and sternotomy wires.",
        ),
    },
    absent={
        "Airspace Disease": ("Neither lung shows consolidation.",),
        "Cardiomegaly": ("Cardiac size is normal.",),
        "Nodule": ("A discrete nodule is not seen.",),
        "Pleural Effusion": ("Pleural effusion is absent.",),
        "Pneumothorax": ("Pneumothorax is absent.",),
        "Pulmonary Congestion": ("Vascularity is normal.",),
    },
    anatomy=(
        "The bones are intact.",
        "Mediastinal contours are normal.",
        "The hilar structures are unremarkable.",
        "Upper abdomen is unremarkable.",
    ),
    normal=("Chest is normal.", "No acute process.", "Unremarkable examination of the chest."),
    indications=("Dyspnea.", "Preoperative film."),
)

_TEST = Wording(
    present={
        "Airspace Disease": (
            "Pneumonia with consolidation of the {side} {zone} lung.",
            "Airspace consolidation on the {side}, {zone} zone.",
            "New infiltrate within the {side} {zone} lung.",
        ),
        "Calcified Granuloma": (
            "Several calcified granulomas lie in the {side} {zone} lung.",
            "{side} granulomatous calcifications, unchanged.",
            "Healed granulomatous disease with {side} calcified granulomas.",
        ),
        "Cardiomegaly": (
            "Moderate cardiomegaly.",
            "Cardiac enlargement is evident.",
            "Cardiomegaly, with a wide heart shadow.",
        ),
        "Catheters, Indwelling": (
            "Central venous catheter from the {side} with tip at the SVC.",
            "Indwelling {side} port catheter.",
            "A {side} venous port remains in good position.",
        ),
        "Diaphragmatic Eventration": (
            "High position of the {side} hemidiaphragm due to eventration.",
            "Chronic elevation of the {side} diaphragm.",
            "{side} diaphragmatic eventration.",
        ),
        "Implanted Medical Device": (
            "Cardiac pacemaker in the {side} chest wall.",
            "The {side} pacemaker and its lead are unchanged.",
            "An implanted pacing generator is visible on the {side}.",
        ),
        "Nodule": (
            "Nodule of the {side} {zone} lung, follow-up advised.",
            "A round nodular opacity is seen on the {side}.",
            "Single {side} pulmonary nodule.",
        ),
        "Pleural Effusion": (
            "{side} effusion of {size} volume.",
            "Fluid in the {side} pleural space, {size}.",
            "The {side} costophrenic angle is blunted by pleural effusion.",
        ),
        "Pneumothorax": (
            "A {size} pneumothorax has appeared on the {side}.",
            "Apical {side} pneumothorax, {size}.",
            "Collapse of the {side} lung edge from pneumothorax.",
        ),
        "Pulmonary Atelectasis": (
            "Discoid atelectasis is present in the {side} lung base.",
            "{side} lower lobe atelectatic bands.",
            "Atelectasis, {side} base.",
        ),
        "Pulmonary Congestion": (
            "Venous congestion of the pulmonary circulation.",
            "Congestion with increased perihilar vascular markings.",
            "Vascular engorgement and mild interstitial edema.",
        ),
        "Pulmonary Emphysema": (
            "Overinflated lungs with low flat diaphragms, emphysema.",
            "Changes of emphysema and hyperinflation.",
            "Chronic obstructive lung disease with hyperexpansion.",
        ),
        "Scoliosis": (
            "Scoliotic deformity of the spine.",
            "The spine is curved to the {side}, scoliosis.",
            "Spinal scoliosis, chronic.",
        ),
        "Surgical Instruments": (
            "Wires of a prior sternotomy and vascular clips.",
            "Prior cardiac surgery with sternal wires.",
            "Mediastinal surgical clips and sternotomy wires remain.",
        ),
    },
    absent={
        "Airspace Disease": ("Lungs are free of consolidation.", "No airspace opacity."),
        "Cardiomegaly": ("Normal heart size.", "Heart is not enlarged."),
        "Nodule": ("No nodule.",),
        "Pleural Effusion": ("No effusion on either side.", "Costophrenic angles are sharp."),
        "Pneumothorax": ("No evidence for pneumothorax.",),
        "Pulmonary Congestion": ("Pulmonary vessels are normal.",),
    },
    anatomy=(
        "The airway is central.",
        "Skeletal structures appear normal.",
        "Mediastinal width is normal.",
        "Nothing remarkable in the soft tissues.",
    ),
    normal=(
        "Normal chest radiograph.",
        "No abnormality of heart or lungs.",
        "Chest within normal limits, nothing acute.",
    ),
    indications=("Chest pain.", "Follow-up."),
)

WORDINGS: Mapping[Split, Wording] = {"train": _TRAIN, "val": _VAL, "test": _TEST}
