//! A build context as the tar that an engine reads.
//!
//! It is made while it is sent, so that a model of gigabytes is never held: each stream is read as the engine takes what came before it. The same files make the same tar: there is no time and no owner in it, and
//! two modes. A stream that has another length than was announced breaks the tar off, because the length stands before the content.

use std::collections::HashSet;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use tar::{EntryType, Header};

use crate::backend::stream::{ByteStream, MAX_READ_BYTES, StreamError};

/// A tar consists of blocks.
const BLOCK_BYTES: usize = 512;
/// What ends a tar.
pub(super) const END: [u8; 2 * BLOCK_BYTES] = [0; 2 * BLOCK_BYTES];
/// The longest path that fits into a header. A longer one has an entry of its own before it.
const MAX_SHORT_PATH_BYTES: usize = 100;

/// A file of a build context.
pub(crate) struct ContextFile {
    /// Relative, with `/` between its parts, without `.`, `..` and empty parts.
    pub(crate) path: String,
    pub(crate) executable: bool,
    /// The length of the content in bytes.
    pub(crate) size: u64,
    pub(crate) content: Content,
}

/// The bytes of a file.
pub(crate) enum Content {
    Bytes(Bytes),
    Stream(ByteStream),
}

/// Why a build context could not be sent to its end.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum ContextError {
    /// A stream ended too early.
    #[error("the file `{path}` has {found} bytes, {size} were announced")]
    Short {
        /// The file.
        path: String,
        /// What was announced.
        size: u64,
        /// What came.
        found: u64,
    },
    /// A stream goes on after its end.
    #[error("the file `{path}` has more than the {size} bytes that were announced")]
    Long {
        /// The file.
        path: String,
        /// What was announced.
        size: u64,
    },
    /// A stream failed.
    #[error("failed to read the file `{path}`")]
    Unread {
        /// The file.
        path: String,
        #[source]
        source: StreamError,
    },
}

/// The tar of `files`, each path of which occurs once and is no folder of another. [`END`] is still to follow.
pub(super) fn tar(files: Vec<ContextFile>) -> impl Stream<Item = Result<Bytes, ContextError>> + Send + 'static {
    let writer = Writer { files: files.into_iter(), folders: HashSet::new(), open: None };
    stream::try_unfold(writer, |mut writer| async move { Ok(writer.next().await?.map(|piece| (piece, writer))) })
}

struct Writer {
    files: std::vec::IntoIter<ContextFile>,
    /// Those that have an entry.
    folders: HashSet<String>,
    /// The file whose header was written.
    open: Option<OpenFile>,
}

struct OpenFile {
    path: String,
    size: u64,
    left: u64,
    content: Content,
}

impl Writer {
    async fn next(&mut self) -> Result<Option<Bytes>, ContextError> {
        if let Some(open) = &mut self.open {
            if let Some(piece) = open.read().await? {
                return Ok(Some(piece));
            }
            let padding = padding(open.size);
            self.open = None;
            if !padding.is_empty() {
                return Ok(Some(padding));
            }
        }
        Ok(self.files.next().map(|file| self.begin(file)))
    }

    /// Opens `file` and answers what stands before its content: the entries of its folders, unless they were there already, and its own.
    ///
    /// An engine makes a folder that has no entry by itself, with a mode that differs from version to version.
    fn begin(&mut self, file: ContextFile) -> Bytes {
        let mut head = Vec::new();
        for (end, _) in file.path.match_indices('/') {
            let folder = file.path.split_at(end).0;
            if self.folders.insert(folder.to_owned()) {
                entry(&mut head, &format!("{folder}/"), EntryType::Directory, 0o755, 0);
            }
        }
        entry(&mut head, &file.path, EntryType::Regular, if file.executable { 0o755 } else { 0o644 }, file.size);
        self.open = Some(OpenFile { path: file.path, size: file.size, left: file.size, content: file.content });
        head.into()
    }
}

impl OpenFile {
    /// The next piece; none at the end, which is where it was announced.
    async fn read(&mut self) -> Result<Option<Bytes>, ContextError> {
        let piece = match &mut self.content {
            Content::Bytes(bytes) => Some(std::mem::take(bytes)).filter(|bytes| !bytes.is_empty()),
            Content::Stream(stream) => {
                let read = stream.read(MAX_READ_BYTES).await;
                read.map_err(|source| ContextError::Unread { path: self.path.clone(), source })?
            }
        };
        let length = piece.as_ref().map_or(0, |piece| u64::try_from(piece.len()).unwrap_or(u64::MAX));
        let Some(left) = self.left.checked_sub(length) else {
            return Err(ContextError::Long { path: self.path.clone(), size: self.size });
        };
        self.left = left;
        if piece.is_none() && left > 0 {
            return Err(ContextError::Short { path: self.path.clone(), size: self.size, found: self.size - left });
        }
        Ok(piece)
    }
}

/// What fills up the last block of `size` bytes.
fn padding(size: u64) -> Bytes {
    let block = BLOCK_BYTES as u64;
    let missing = usize::try_from(size.next_multiple_of(block) - size).unwrap_or(0);
    Bytes::from_static(END.get(..missing).unwrap_or_default())
}

/// Writes the header of an entry.
fn entry(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, size: u64) {
    if path.len() > MAX_SHORT_PATH_BYTES {
        // As GNU tar does it: the path as the content of an entry, with a zero behind it.
        let length = path.len() as u64 + 1;
        header(tar, "././@LongLink", EntryType::GNULongName, 0, length);
        tar.extend_from_slice(path.as_bytes());
        tar.push(0);
        tar.extend_from_slice(&padding(length));
    }
    header(tar, path, kind, mode, size);
}

fn header(tar: &mut Vec<u8>, path: &str, kind: EntryType, mode: u32, size: u64) {
    let mut header = Header::new_gnu();
    // Not by `set_path`, which refuses what does not fit.
    for (place, byte) in header.as_old_mut().name.iter_mut().zip(path.bytes()) {
        *place = byte;
    }
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header.set_cksum();
    tar.extend_from_slice(header.as_bytes());
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use futures_util::stream::{StreamExt, TryStreamExt};

    use super::*;

    fn bytes(path: &str, content: &str) -> ContextFile {
        ContextFile {
            path: path.to_owned(),
            executable: false,
            size: content.len() as u64,
            content: Content::Bytes(Bytes::from(content.to_owned())),
        }
    }

    fn streamed(path: &str, size: u64, pieces: &[Result<&'static str, StreamError>]) -> ContextFile {
        let pieces: Vec<_> = pieces.iter().map(|piece| piece.clone().map(Bytes::from)).collect();
        ContextFile { size, content: Content::Stream(ByteStream::new(stream::iter(pieces))), ..bytes(path, "") }
    }

    async fn written(files: Vec<ContextFile>) -> Result<Vec<u8>, ContextError> {
        let pieces: Vec<Bytes> = tar(files).try_collect().await?;
        Ok([pieces.concat(), END.to_vec()].concat())
    }

    /// Each entry: path, mode, content; and that there is nothing else in it.
    fn entries(written: &[u8]) -> Vec<(String, u32, String)> {
        let mut archive = tar::Archive::new(written);
        let read = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let (header, path) = (entry.header().clone(), String::from_utf8(entry.path_bytes().into_owned()).unwrap());
            let owners = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
            assert_eq!(owners, (0, 0, 0), "{path}");
            let mut content = String::new();
            entry.read_to_string(&mut content).unwrap();
            (path, header.mode().unwrap(), content)
        });
        read.collect()
    }

    #[tokio::test]
    async fn files_stand_in_their_order_behind_their_folders() {
        let script = ContextFile { executable: true, ..bytes("a/b/run.sh", "#!/bin/sh") };
        let whole = "x".repeat(512);
        let files = vec![bytes("Dockerfile", "FROM scratch"), script, bytes("a/größe", ""), bytes("a/b/c", &whole)];
        let tar = written(files).await.unwrap();
        assert_eq!(tar.len() % 512, 0);
        let expected = [
            ("Dockerfile", 0o644, "FROM scratch"),
            ("a/", 0o755, ""),
            ("a/b/", 0o755, ""),
            ("a/b/run.sh", 0o755, "#!/bin/sh"),
            ("a/größe", 0o644, ""),
            ("a/b/c", 0o644, &whole),
        ];
        assert_eq!(entries(&tar), expected.map(|(path, mode, content)| (path.to_owned(), mode, content.to_owned())));
        assert_eq!(entries(&written(Vec::new()).await.unwrap()), []);
    }

    #[tokio::test]
    async fn a_long_path_is_whole() {
        for length in [99, 100, 101, 511, 512, 1000] {
            let path = format!("{}/{}", "f".repeat(length - 2), "x");
            let found = entries(&written(vec![bytes(&path, "content")]).await.unwrap());
            assert_eq!(found[1], (path, 0o644, "content".to_owned()), "{length}");
            assert_eq!(found.len(), 2);
        }
    }

    #[tokio::test]
    async fn a_stream_has_the_length_that_was_announced() {
        let tar = written(vec![streamed("model", 7, &[Ok("abc"), Ok("defg")]), bytes("after", "1")]).await.unwrap();
        assert_eq!(entries(&tar)[0], ("model".to_owned(), 0o644, "abcdefg".to_owned()));
        for (pieces, expected) in [
            (vec![Ok("abc")], "the file `model` has 3 bytes, 7 were announced"),
            (vec![], "the file `model` has 0 bytes, 7 were announced"),
            (vec![Ok("abcdefg"), Ok("h")], "the file `model` has more than the 7 bytes that were announced"),
            (vec![Ok("abcdefgh")], "the file `model` has more than the 7 bytes that were announced"),
            (vec![Ok("abc"), Err(StreamError::Timeout)], "failed to read the file `model`"),
        ] {
            assert_eq!(written(vec![streamed("model", 7, &pieces)]).await.unwrap_err().to_string(), expected);
        }
    }

    #[tokio::test]
    async fn a_file_of_more_than_eight_gibibytes_has_its_size() {
        // Too large for the octal digits of the header.
        let size = 9 << 30;
        let mut pieces = std::pin::pin!(tar(vec![streamed("model", size, &[])]));
        let head = pieces.next().await.unwrap().unwrap();
        let mut header = Header::new_gnu();
        header.as_mut_bytes().copy_from_slice(&head);
        assert_eq!(header.entry_size().unwrap(), size);
    }
}
