"""DICOM files made by pydicom, for tests."""

from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

PERSONAL = {
    "PatientName": "Mustermann^Erika",
    "PatientID": "KIS-4711-0815",
    "PatientBirthDate": "19640812",
    "InstitutionName": "St. Elsewhere Hospital",
    "ReferringPhysicianName": "Quincy^M.E.",
    "AccessionNumber": "ACC20111122XYZ",
    "StudyInstanceUID": "1.2.276.0.7230010.3.1.2.8323329",
    "ImageComments": "patient fell from ladder",
}


def dicom(pixels: np.ndarray, syntax: str = ExplicitVRLittleEndian, **attributes: object) -> Dataset:
    """A data set of a gray (rows, columns) or RGB (rows, columns, 3) picture with a patient's name and more."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.1"
    dataset.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.file_meta.TransferSyntaxUID = syntax
    bits = pixels.dtype.itemsize * 8
    described = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.1",
        "SOPInstanceUID": dataset.file_meta.MediaStorageSOPInstanceUID,
        **PERSONAL,
        "Rows": pixels.shape[0],
        "Columns": pixels.shape[1],
        "SamplesPerPixel": 3 if pixels.ndim == 3 else 1,
        "PhotometricInterpretation": "RGB" if pixels.ndim == 3 else "MONOCHROME2",
        "BitsAllocated": bits,
        "BitsStored": bits,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        **attributes,
    }
    described.setdefault("HighBit", described["BitsStored"] - 1)
    if pixels.ndim == 3:
        described["PlanarConfiguration"] = 0
    for name, value in described.items():
        setattr(dataset, name, value)
    dataset.PixelData = pixels.tobytes()
    dataset["PixelData"].VR = "OB" if bits == 8 else "OW"
    dataset.add_new(0x00091001, "LO", "private note about Erika")
    return dataset


def write_dicom(path: Path, pixels: np.ndarray, **attributes: object) -> Path:
    """Write the data set to a file."""
    dicom(pixels, **attributes).save_as(path, enforce_file_format=True)
    return path
