//! How ZooKeeper writes numbers, texts and lists: big-endian, each text and list behind its length.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};

/// A message longer than this is no answer to anything we ask (ZooKeeper's own limit is 1 MiB by default).
pub(crate) const FRAME_MAX: usize = 16 << 20;

/// A message under way.
#[derive(Debug, Default)]
pub(crate) struct Writer(BytesMut);

impl Writer {
    pub(crate) fn int(&mut self, value: i32) -> &mut Self {
        self.0.put_i32(value);
        self
    }

    pub(crate) fn long(&mut self, value: i64) -> &mut Self {
        self.0.put_i64(value);
        self
    }

    pub(crate) fn flag(&mut self, value: bool) -> &mut Self {
        self.0.put_u8(u8::from(value));
        self
    }

    pub(crate) fn bytes(&mut self, value: &[u8]) -> &mut Self {
        self.0.put_i32(length(value.len()));
        self.0.put_slice(value);
        self
    }

    pub(crate) fn text(&mut self, value: &str) -> &mut Self {
        self.bytes(value.as_bytes())
    }

    /// The message, behind its own length.
    pub(crate) fn frame(self) -> Bytes {
        let mut frame = BytesMut::with_capacity(self.0.len() + 4);
        frame.put_i32(length(self.0.len()));
        frame.put_slice(&self.0);
        frame.freeze()
    }
}

/// How long a list, text or message is, as ZooKeeper counts.
pub(crate) fn length(of: usize) -> i32 {
    i32::try_from(of).unwrap_or(i32::MAX)
}

/// A message that was received.
#[derive(Debug)]
pub(crate) struct Scanner(pub(crate) Bytes);

/// A message that ends too early, or says what it can not mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken;

impl Scanner {
    pub(crate) fn int(&mut self) -> Result<i32, Broken> {
        self.0.try_get_i32().map_err(|_| Broken)
    }

    pub(crate) fn long(&mut self) -> Result<i64, Broken> {
        self.0.try_get_i64().map_err(|_| Broken)
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Broken> {
        self.0
            .try_get_u8()
            .map(|flag| flag != 0)
            .map_err(|_| Broken)
    }

    /// Bytes behind their length; -1 stands for none at all.
    pub(crate) fn bytes(&mut self) -> Result<Bytes, Broken> {
        let length = self.int()?;
        if length == -1 {
            return Ok(Bytes::new());
        }
        let length = usize::try_from(length).map_err(|_| Broken)?;
        if length > self.0.remaining() {
            return Err(Broken);
        }
        Ok(self.0.copy_to_bytes(length))
    }

    pub(crate) fn text(&mut self) -> Result<String, Broken> {
        Ok(String::from_utf8_lossy(&self.bytes()?).into_owned())
    }

    pub(crate) fn texts(&mut self) -> Result<Vec<String>, Broken> {
        let mut texts = Vec::new();
        for _ in 0..self.int()?.max(0) {
            texts.push(self.text()?);
        }
        Ok(texts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        let mut writer = Writer::default();
        writer.int(-2).long(7).flag(true).text("ä").bytes(&[]);
        let mut frame = Scanner(writer.frame());
        assert_eq!(frame.int(), Ok(23));
        assert_eq!((frame.int(), frame.long()), (Ok(-2), Ok(7)));
        assert_eq!(frame.flag(), Ok(true));
        assert_eq!(frame.text().as_deref(), Ok("ä"));
        assert_eq!(frame.bytes(), Ok(Bytes::new()));
        assert_eq!(frame.int(), Err(Broken));
    }

    #[test]
    fn a_length_beyond_the_end_is_no_panic() {
        for length in [5_i32, i32::MAX, -2] {
            let mut writer = Writer::default();
            writer.int(length).int(0);
            let mut frame = Scanner(writer.frame());
            frame.int().unwrap();
            assert_eq!(frame.bytes(), Err(Broken), "{length}");
        }
        let mut writer = Writer::default();
        writer.int(i32::MAX);
        let mut frame = Scanner(writer.frame());
        frame.int().unwrap();
        assert_eq!(frame.texts(), Err(Broken));
    }
}
