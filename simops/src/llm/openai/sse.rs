//! Server-sent events, as far as a stream of data goes.

/// Takes bytes as they come and gives out the data of whole events.
///
/// Lines end in LF, CRLF or CR; the data lines of an event are joined by LF; comments and other
/// fields are skipped. Bytes that are no UTF-8 are replaced.
#[derive(Debug, Default)]
pub struct Sse {
    line: Vec<u8>,
    data: Option<String>,
    after_cr: bool,
}

impl Sse {
    /// The data of the events that `bytes` completes.
    pub fn push(&mut self, bytes: &[u8]) -> Vec<String> {
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

    /// The data of an event that the end of the stream cut short of its empty line: some providers
    /// leave that out.
    pub fn end(&mut self) -> Option<String> {
        let early = self.end_line();
        early.or_else(|| self.data.take())
    }

    fn end_line(&mut self) -> Option<String> {
        let line = std::mem::take(&mut self.line);
        if line.is_empty() {
            return self.data.take();
        }
        if let Some(data) = line.strip_prefix(b"data:") {
            let data = String::from_utf8_lossy(data.strip_prefix(b" ").unwrap_or(data));
            match &mut self.data {
                Some(before) => {
                    before.push('\n');
                    before.push_str(&data);
                }
                None => self.data = Some(data.into_owned()),
            }
        }
        None
    }
}
