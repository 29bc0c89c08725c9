//! Lines of the source.

use gimli::{FileEntry, LineInstruction, LineInstructions, LineProgramHeader, LineRow, UnitRef};

use super::Slice;
use super::marks::Marks;

/// Where the sequences of a unit begin: rows of one stretch of code each, mostly a function.
#[derive(Debug, Default)]
pub(super) struct Lines<'a> {
    sequences: Marks<LineInstructions<Slice<'a>>>,
}

/// Rows from one instruction on. Unlike gimli's it tells where a sequence begins.
struct Rows<'u, 'a> {
    program: Program<'u, 'a>,
    instructions: LineInstructions<Slice<'a>>,
    row: LineRow,
    /// Whether the linker took this code out.
    is_dead: bool,
}

/// A program that isn't copied to be run.
#[derive(Clone, Copy)]
struct Program<'u, 'a>(&'u LineProgramHeader<Slice<'a>>);

impl<'a> gimli::LineProgram<Slice<'a>> for Program<'_, 'a> {
    fn header(&self) -> &LineProgramHeader<Slice<'a>> {
        self.0
    }

    /// No compiler adds files among the instructions: all are in the header.
    fn add_file(&mut self, _: FileEntry<Slice<'a>>) {}
}

impl<'a> Lines<'a> {
    pub(super) fn read(unit: UnitRef<'_, Slice<'a>>) -> gimli::Result<Self> {
        let mut all = Self::default();
        Self::for_each_sequence(unit, |begin, end, at| all.sequences.push(begin, end, at))?;
        all.sequences.finish();
        Ok(all)
    }

    /// Shows where each sequence's code is, and where its instructions begin.
    pub(super) fn for_each_sequence(
        unit: UnitRef<'_, Slice<'a>>,
        mut each: impl FnMut(u64, u64, LineInstructions<Slice<'a>>),
    ) -> gimli::Result<()> {
        let Some(mut rows) = Rows::of(unit) else { return Ok(()) };
        let (mut begin, mut at) = (None, rows.instructions.clone());
        while rows.next()? {
            let address = rows.row.address();
            if !rows.row.end_sequence() {
                begin.get_or_insert(address);
                continue;
            }
            let after = rows.instructions.clone();
            let at = std::mem::replace(&mut at, after);
            if let Some(begin) = begin.take().filter(|begin| *begin < address) {
                each(begin, address, at);
            }
        }
        Ok(())
    }

    /// The file and the line of an address.
    pub(super) fn find(
        &self,
        unit: UnitRef<'_, Slice<'a>>,
        address: u64,
    ) -> gimli::Result<Option<(String, u32)>> {
        let mut groups = self.sequences.around(address).peekable();
        if groups.peek().is_none() {
            return Ok(None);
        }
        let Some(mut rows) = Rows::of(unit) else { return Ok(None) };
        for (at, _) in groups {
            rows.resume(at);
            for _ in 0..self.sequences.each() {
                if let Some((file, line)) = rows.find_in_sequence(address)? {
                    let file = file_in(unit, rows.program.0, file)?;
                    return Ok(Some((file, u32::try_from(line).unwrap_or(0))));
                }
            }
        }
        Ok(None)
    }

    pub(super) fn bytes(&self) -> usize {
        self.sequences.bytes()
    }
}

impl<'u, 'a> Rows<'u, 'a> {
    fn of(unit: UnitRef<'u, Slice<'a>>) -> Option<Self> {
        let program = Program(unit.unit.line_program.as_ref()?.header());
        let instructions = program.0.instructions();
        let row = LineRow::new(program.0);
        Some(Self { program, instructions, row, is_dead: false })
    }

    fn resume(&mut self, at: &LineInstructions<Slice<'a>>) {
        self.instructions = at.clone();
        self.row = LineRow::new(self.program.0);
        self.is_dead = false;
    }

    /// Goes to the next row; false at the end.
    fn next(&mut self) -> gimli::Result<bool> {
        /// What linkers write for code that they took out is -1 or -2. What lies below an address
        /// of the same sequence is, too.
        const DEAD: u64 = u64::MAX - 1;
        self.row.reset(self.program.0);
        loop {
            let Some(instruction) = self.instructions.next_instruction(self.program.0)? else {
                return Ok(false);
            };
            if let LineInstruction::SetAddress(address) = instruction {
                self.is_dead = address < self.row.address() || address >= DEAD;
            }
            if !self.row.execute(instruction, &mut self.program)? {
                continue;
            }
            if !self.is_dead {
                return Ok(true);
            }
            self.is_dead = !self.row.end_sequence();
            self.row.reset(self.program.0);
        }
    }

    /// The row of an address, looked for up to the sequence's end.
    fn find_in_sequence(&mut self, address: u64) -> gimli::Result<Option<(u64, u64)>> {
        let mut found = None;
        while self.next()? {
            let is_after = self.row.address() > address;
            if self.row.end_sequence() {
                return Ok(found.filter(|_| is_after));
            }
            if !is_after {
                let line = self.row.line().map_or(0, std::num::NonZeroU64::get);
                found = Some((self.row.file_index(), line));
            }
        }
        Ok(None)
    }
}

/// The path of a file of a unit.
pub(super) fn file(unit: UnitRef<'_, Slice<'_>>, index: u64) -> gimli::Result<String> {
    match &unit.line_program {
        Some(program) => file_in(unit, program.header(), index),
        None => Ok(String::new()),
    }
}

fn file_in<'a>(
    unit: UnitRef<'_, Slice<'a>>,
    header: &LineProgramHeader<Slice<'a>>,
    index: u64,
) -> gimli::Result<String> {
    let Some(file) = header.file(index) else { return Ok(String::new()) };
    let mut path = unit.comp_dir.map(|folder| folder.to_string_lossy().into_owned());
    let path = path.get_or_insert_default();
    // The folder 0 is that of the unit.
    if file.directory_index() != 0
        && let Some(folder) = file.directory(header)
    {
        join(path, &unit.attr_string(folder)?.to_string_lossy());
    }
    join(path, &unit.attr_string(file.path_name())?.to_string_lossy());
    Ok(std::mem::take(path))
}

fn join(path: &mut String, next: &str) {
    let has_drive = |root: &str| next.get(1..3).is_some_and(|drive| drive == root);
    if next.starts_with(['/', '\\']) || has_drive(":/") || has_drive(":\\") {
        path.clear();
    } else if !path.is_empty() && !path.ends_with('/') {
        // A program may have been compiled on Windows.
        let is_backward = path.starts_with('\\') || path.get(1..3) == Some(":\\");
        if !(is_backward && path.ends_with('\\')) {
            path.push(if is_backward { '\\' } else { '/' });
        }
    }
    path.push_str(next);
}
