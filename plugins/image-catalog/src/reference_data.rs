//! What every catalogue has from the beginning: hardware, CUDA versions, frameworks, domains, licences, job types.
//!
//! Keys count from 1 in the order of these lists. They are in tables as well, since filters join them; nothing changes them, so what a client posts is checked against the lists.

/// A generation of graphics cards: its name, its first compute capability, and the first that it has not.
pub(crate) const HARDWARE: &[(&str, f64, f64)] = &[
    ("Fermi", 2.0, 3.0),
    ("Kepler", 3.0, 5.0),
    ("Maxwell", 5.0, 6.0),
    ("Pascal", 6.0, 7.0),
    ("Volta", 7.0, 7.5),
    ("Turing", 7.5, 8.0),
    ("Ampere", 8.0, 9.0),
    ("Hopper", 9.0, 10.0),
];

/// A version of CUDA, its whole version, and the first driver that has it.
pub(crate) const CUDA: &[(f64, &str, f64)] = &[
    (10.1, "10.1.105", 418.39),
    (10.0, "10.0.130", 410.48),
    (9.2, "9.2.88", 396.26),
    (9.1, "9.1.85", 390.46),
    (9.0, "9.0.76", 384.81),
    (8.0, "8.0.61", 375.26),
    (7.5, "7.5.16", 352.31),
    (7.0, "7.0.28", 346.46),
];

/// A framework and its version.
pub(crate) const FRAMEWORKS: &[(&str, &str)] =
    &[("tensorflow", "1.15"), ("tensorflow", "1.14"), ("yolact", "2020-02-11"), ("mmdetection", "2020-03-01"), ("pytorch", "1.2")];

/// A domain's two letters, and what they stand for.
pub(crate) const DOMAINS: &[(&str, &str)] = &[
    ("ic", "Image Classification"),
    ("od", "Object Detection"),
    ("sp", "Speech"),
    ("is", "Image Segmentation"),
    ("sc", "Spectrum Classification"),
];

/// Licences.
pub(crate) const LICENCES: &[&str] = &[
    "AGPL3",
    "Apache 2.0",
    "BSD 2-clause",
    "BSD 3-clause",
    "CC0",
    "CC-BY-4.0",
    "CC-BY-SA-4.0",
    "GPL2",
    "GPL3",
    "LGPL3",
    "MIT",
    "Mozilla Public License 2.0",
    "The Unlicense",
    "Proprietary",
];

/// What an image can be used for.
pub(crate) const JOB_TYPES: &[&str] = &["train", "predict", "export"];

/// The key of the first of `names` that is `name`.
pub(crate) fn key_of<'a>(mut names: impl Iterator<Item = &'a str>, name: &str) -> Option<i64> {
    names.position(|other| other == name).and_then(|place| i64::try_from(place + 1).ok())
}
