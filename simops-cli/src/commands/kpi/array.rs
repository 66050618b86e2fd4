//! The elements of a JSON array, one by one: a file may be longer than memory.

use std::io::BufRead;

use crate::exit::Failure;

/// Reads the elements of one array, or of several in a row.
pub(super) struct Elements<R> {
    reader: R,
    line: u64,
    max: usize,
    inside: bool,
}

/// One element.
pub(super) struct Element {
    /// The line where it begins.
    pub(super) line: u64,
    /// Its JSON; none when it is longer than allowed.
    pub(super) text: Option<Vec<u8>>,
}

impl<R: BufRead> Elements<R> {
    /// Elements of at most `max` bytes. The reader is at `line`.
    pub(super) fn new(reader: R, line: u64, max: usize) -> Self {
        Self { reader, line, max, inside: false }
    }

    pub(super) fn line(&self) -> u64 {
        self.line
    }

    /// The next element; none behind the last array.
    pub(super) fn next(&mut self) -> Result<Option<Element>, Failure> {
        loop {
            match self.peek()? {
                None if self.inside => return Err(self.broken("the array does not end")),
                None => return Ok(None),
                Some(b'[') if !self.inside => self.inside = true,
                Some(b']') if self.inside => self.inside = false,
                Some(b',') if self.inside => {}
                Some(byte) if byte.is_ascii_whitespace() => {}
                Some(_) if self.inside => return self.element().map(Some),
                Some(_) => return Err(self.broken("there is more behind the end of the array")),
            }
            self.advance();
        }
    }

    /// Up to the comma or bracket behind it.
    fn element(&mut self) -> Result<Element, Failure> {
        let line = self.line;
        let (mut text, mut length) = (Vec::new(), 0);
        let (mut depth, mut in_string, mut escaped) = (0_u32, false, false);
        loop {
            let Some(byte) = self.peek()? else {
                return Err(self.broken("the array does not end"));
            };
            match byte {
                _ if escaped => escaped = false,
                b'\\' if in_string => escaped = true,
                b'"' => in_string = !in_string,
                _ if in_string => {}
                b'[' | b'{' => depth += 1,
                b']' | b',' if depth == 0 => break,
                b']' | b'}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            length += 1;
            if length <= self.max {
                text.push(byte);
            }
            self.advance();
        }
        let text = (length <= self.max).then(|| text.trim_ascii_end().to_vec());
        Ok(Element { line, text })
    }

    fn peek(&mut self) -> Result<Option<u8>, Failure> {
        match self.reader.fill_buf() {
            Ok(bytes) => Ok(bytes.first().copied()),
            Err(error) => Err(Failure::new(format!("line {}: {error}", self.line))),
        }
    }

    fn advance(&mut self) {
        let is_line_end = matches!(self.reader.fill_buf(), Ok([b'\n', ..]));
        self.line += u64::from(is_line_end);
        self.reader.consume(1);
    }

    fn broken(&self, why: &str) -> Failure {
        Failure::new(format!("line {}: {why}", self.line))
    }
}

#[cfg(test)]
mod tests;
