//! How far a pull is: what the engine said of each layer, summed up to a percentage.
//!
//! Engines report in words, which differ from one to the next and from version to version. The words here are those of Docker's engine, with either store, and of Podman; any other is kept and shown, and counts
//! for nothing. A layer counts twice, since it is fetched and then unpacked, each time with its bytes as the registry has them; one that the engine holds already has none. What is not known yet does not count, so that
//! a total may grow; the percentage stays where it is then until it is overtaken.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::backend::engine::PullLine;

/// The most layers of which it is remembered how far they are. Engines refuse images with more than 127.
const MAX_LAYERS: usize = 128;

/// How far a pull is. Written by the one pull, and read by all who wait for it.
#[derive(Debug, Default)]
pub(crate) struct PullProgress {
    layers: Mutex<Layers>,
    changed: watch::Sender<()>,
}

/// What is known of the layers.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Layers {
    /// In the order in which the engine spoke of them.
    pub(crate) layers: Vec<Layer>,
    /// The engine's word for the layer of which it spoke last; empty if it has not spoken of any.
    pub(crate) status: String,
    /// How much is done, up to 99; none as long as no size is known. It never goes back.
    pub(crate) percent: Option<u8>,
}

/// A layer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layer {
    /// The beginning of its digest, or all of it.
    pub(crate) id: String,
    /// The engine's word.
    pub(crate) status: String,
    /// How many bytes it has at the registry.
    pub(crate) total: Option<u64>,
    downloaded: u64,
    extracted: u64,
}

/// What the engine's word means.
enum Step {
    Downloading,
    Downloaded,
    Extracting,
    Done,
    Other,
}

impl Step {
    fn of(status: &str) -> Step {
        match status {
            "Downloading" => Step::Downloading,
            "Verifying Checksum" | "Download complete" => Step::Downloaded,
            "Extracting" => Step::Extracting,
            "Pull complete" | "Already exists" => Step::Done,
            _ => Step::Other,
        }
    }
}

impl PullProgress {
    /// Takes notice of `line`.
    pub(crate) fn take(&self, line: PullLine) {
        self.layers().take(line);
        self.changed.send_replace(());
    }

    /// How far it is now.
    pub(crate) fn now(&self) -> Layers {
        self.layers().clone()
    }

    /// Wakes at each change.
    pub(super) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    fn layers(&self) -> MutexGuard<'_, Layers> {
        self.layers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Layers {
    /// How many bytes were fetched, and how many there are, of all layers whose size is known.
    pub(crate) fn bytes(&self) -> (u64, u64) {
        let sized = self.layers.iter().filter_map(|layer| Some((layer.downloaded, layer.total?)));
        sized.fold((0, 0), |(done, total): (u64, u64), layer| (done.saturating_add(layer.0), total.saturating_add(layer.1)))
    }

    fn take(&mut self, line: PullLine) {
        self.status.clone_from(&line.status);
        let place = match self.layers.iter().position(|layer| layer.id == line.id) {
            Some(place) => place,
            None if self.layers.len() < MAX_LAYERS => {
                self.layers.push(Layer { id: line.id.clone(), status: String::new(), total: None, downloaded: 0, extracted: 0 });
                self.layers.len() - 1
            }
            None => return,
        };
        if let Some(layer) = self.layers.get_mut(place) {
            layer.take(line);
        }
        self.percent = self.percent.max(self.computed());
    }

    fn computed(&self) -> Option<u8> {
        let sized = self.layers.iter().filter_map(|layer| Some((layer.downloaded, layer.extracted, layer.total?)));
        let (mut done, mut total) = (0u128, 0u128);
        for (downloaded, extracted, bytes) in sized {
            done += u128::from(downloaded.min(bytes)) + u128::from(extracted.min(bytes));
            total += 2 * u128::from(bytes);
        }
        // Whether it is done is for the engine to say: it has the manifest to write when the last layer is there.
        u8::try_from((done * 100).checked_div(total)?.min(99)).ok()
    }
}

impl Layer {
    /// How many bytes of the present step are done; none if nobody knows.
    pub(crate) fn current(&self) -> Option<u64> {
        match Step::of(&self.status) {
            Step::Extracting => self.total.map(|_| self.extracted),
            Step::Downloading => Some(self.downloaded),
            Step::Downloaded | Step::Done => self.total,
            Step::Other => None,
        }
    }

    fn take(&mut self, line: PullLine) {
        let PullLine { id: _, status, current, total } = line;
        match Step::of(&status) {
            Step::Downloading => {
                self.total = total.or(self.total);
                self.downloaded = current.unwrap_or(self.downloaded);
            }
            Step::Downloaded => self.downloaded = self.total.unwrap_or(self.downloaded),
            Step::Extracting => {
                // A layer so small that nothing was said of its download.
                self.total = self.total.or(total);
                self.downloaded = self.total.unwrap_or(self.downloaded);
                self.extracted = current.unwrap_or(self.extracted);
            }
            Step::Done => {
                self.downloaded = self.total.unwrap_or(self.downloaded);
                self.extracted = self.downloaded;
            }
            Step::Other => {}
        }
        self.status = status;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `id status current/total`, as the engine says it; the numbers may be absent.
    fn line(text: &str) -> PullLine {
        let (id, rest) = text.split_once(' ').unwrap();
        let (status, numbers) = match rest.rsplit_once(' ') {
            Some((status, numbers)) if numbers.contains('/') => (status, Some(numbers)),
            _ => (rest, None),
        };
        let number = |place: usize| numbers.and_then(|numbers| numbers.split('/').nth(place)?.parse().ok());
        PullLine { id: id.to_owned(), status: status.to_owned(), current: number(0), total: number(1) }
    }

    /// Each line, and the percentage after it.
    #[track_caller]
    fn check(lines: &[(&str, Option<u8>)]) -> Layers {
        let progress = PullProgress::default();
        for (text, percent) in lines {
            progress.take(line(text));
            assert_eq!(progress.now().percent, *percent, "{text}");
        }
        progress.now()
    }

    #[test]
    fn a_layer_counts_when_it_is_fetched_and_when_it_is_unpacked() {
        let layers = check(&[
            ("a Pulling fs layer", None),
            ("b Pulling fs layer", None),
            ("c Already exists", None),
            ("b Waiting", None),
            ("a Downloading 0/100", Some(0)),
            ("a Downloading 50/100", Some(25)),
            ("a Verifying Checksum", Some(50)),
            ("a Download complete", Some(50)),
            // Now there is more to do than was known, and less of it is done.
            ("b Downloading 10/300", Some(50)),
            ("b Downloading 299/300", Some(50)),
            ("a Extracting 60/100", Some(57)),
            ("a Pull complete", Some(62)),
            ("b Download complete", Some(62)),
            ("b Extracting 150/300", Some(81)),
            ("b Extracting 300/300", Some(99)),
            ("b Pull complete", Some(99)),
        ]);
        assert_eq!(layers.bytes(), (400, 400));
        let shown: Vec<_> = layers.layers.iter().map(|layer| (layer.id.as_str(), layer.current(), layer.total)).collect();
        assert_eq!(shown, [("a", Some(100), Some(100)), ("b", Some(300), Some(300)), ("c", None, None)]);
    }

    #[test]
    fn an_image_that_is_there_already_has_no_size() {
        let layers = check(&[("a Already exists", None), ("b Already exists", None)]);
        assert_eq!(layers.bytes(), (0, 0));
    }

    #[test]
    fn an_engine_that_says_nothing_of_unpacking_is_half_done_when_all_is_fetched() {
        // Containerd's store says no size while it unpacks, and Podman nothing at all.
        check(&[
            ("a Downloading 100/100", Some(50)),
            ("a Extracting", Some(50)),
            ("a Download complete", Some(50)),
            ("a Pull complete", Some(99)),
        ]);
    }

    #[test]
    fn a_layer_of_which_nothing_was_heard_before_it_is_unpacked_counts_too() {
        check(&[("a Download complete", None), ("a Extracting 5/10", Some(75)), ("a Pull complete", Some(99))]);
    }

    #[test]
    fn words_that_nobody_knows_and_fetching_anew_take_nothing_back() {
        let layers = check(&[
            ("a Downloading 90/100", Some(45)),
            ("a Retrying in 5 seconds", Some(45)),
            ("a Downloading 1/100", Some(45)),
            ("a Downloading 200/100", Some(50)),
            ("a Meditating 3/4", Some(50)),
        ]);
        let layer = layers.layers.first().unwrap();
        assert_eq!((layer.status.as_str(), layer.current()), ("Meditating", None));
    }

    #[test]
    fn sizes_that_no_registry_has_do_no_harm() {
        let most = u64::MAX;
        check(&[(&format!("a Downloading {most}/{most}"), Some(50)), (&format!("b Downloading {most}/{most}"), Some(50))]);
        let progress = PullProgress::default();
        for number in 0..1000 {
            progress.take(line(&format!("{number} Downloading 1/2")));
        }
        assert_eq!(progress.now().layers.len(), MAX_LAYERS);
    }
}
