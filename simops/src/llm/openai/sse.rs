//! A parser for server-sent events.

/// Parses a stream of bytes into the data of complete events.
///
/// Lines end in LF, CRLF or CR; the data lines of an event are joined by LF; comments and other
/// fields are ignored. Bytes that are not UTF-8 are replaced.
#[derive(Debug, Default)]
pub(crate) struct Sse {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
}

impl Sse {
    /// Adds `bytes` and returns the data of the events that they complete.
    pub(crate) fn push(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut events = Vec::new();
        for &byte in bytes {
            let after_cr = std::mem::replace(&mut self.after_cr, byte == b'\r');
            match byte {
                b'\n' if after_cr => {}
                b'\r' | b'\n' => events.extend(self.end_line()),
                _ => self.line.push(byte),
            }
        }
        events
    }

    /// Ends the stream and returns the data of its last event, if the final empty line is missing:
    /// some providers omit it.
    pub(crate) fn finish(&mut self) -> Option<String> {
        let event = self.end_line();
        event.or_else(|| self.data.take())
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data));
            match &mut self.data {
                Some(lines) => {
                    lines.push('\n');
                    lines.push_str(&data);
                }
                None => self.data = Some(data.into_owned()),
            }
        }
        None
    }
}
