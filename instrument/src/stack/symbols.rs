//! Names from a file's table of symbols, read where it lies.

use std::ops::Range;

use object::elf::SHF_EXECINSTR;
use object::read::elf::Sym;
use object::{
    Object, ObjectSection, ObjectSymbol, ObjectSymbolTable, SectionFlags, SymbolIndex, SymbolKind,
    SymbolScope,
};

/// Stretches of code, of equal size; 4 bytes each.
const BUCKETS_MAX: usize = 1 << 16;
/// Blocks of entries, 4 bytes each.
const BLOCKS_MAX: usize = 3 << 16;

type Entry = object::elf::Sym64<object::Endianness>;

/// Which entries of the table, which has no order, begin in which stretch of the code. Bounded: in
/// a table of very many entries, neighbours are put together to blocks, and all of a block is
/// looked at.
#[derive(Debug, Default)]
pub(super) struct Symbols {
    /// Where the code is.
    code: Range<u64>,
    /// A bucket has two to the power of so many bytes of code, a block so many entries.
    bucket_shift: u32,
    block_shift: u32,
    /// Where each bucket's part of `blocks` begins; one more than there are buckets.
    starts: Vec<u32>,
    blocks: Vec<u32>,
}

impl Symbols {
    pub(super) fn read(object: &object::File<'_>) -> Self {
        Self::read_within(object, BUCKETS_MAX, BLOCKS_MAX)
    }

    /// Needs room for one block in each bucket at least.
    fn read_within(object: &object::File<'_>, buckets_max: usize, blocks_max: usize) -> Self {
        let (entries, endian) = entries(object);
        let code = code(object);
        let buckets = entries.len().next_power_of_two().min(buckets_max);
        let mut all = Self { code, ..Self::default() };
        while (all.code.end - all.code.start) >> all.bucket_shift >= buckets as u64 {
            all.bucket_shift += 1;
        }
        loop {
            let mut starts = vec![0_u32; buckets + 1];
            all.each_block(entries, endian, buckets, |bucket, _| starts[bucket + 1] += 1);
            let mut sum = 0;
            for start in &mut starts {
                sum += *start;
                *start = sum;
            }
            if sum as usize <= blocks_max {
                all.blocks = vec![0; sum as usize];
                all.starts = starts;
                break;
            }
            all.block_shift += 1;
        }
        let mut next = all.starts.clone();
        let mut blocks = std::mem::take(&mut all.blocks);
        all.each_block(entries, endian, buckets, |bucket, block| {
            blocks[next[bucket] as usize] = block;
            next[bucket] += 1;
        });
        all.blocks = blocks;
        all
    }

    /// Shows for each block of entries the buckets in which they begin.
    fn each_block(
        &self,
        entries: &[Entry],
        endian: object::Endianness,
        buckets: usize,
        mut show: impl FnMut(usize, u32),
    ) {
        let mut last = vec![u32::MAX; buckets];
        for (index, entry) in (0_u32..).zip(entries) {
            let Some(bucket) = self.bucket(entry.st_value.get(endian)) else { continue };
            let block = index >> self.block_shift;
            if last[bucket] != block && entry.st_shndx(endian) != object::elf::SHN_UNDEF {
                last[bucket] = block;
                show(bucket, block);
            }
        }
    }

    fn bucket(&self, address: u64) -> Option<usize> {
        if !self.code.contains(&address) {
            return None;
        }
        usize::try_from((address - self.code.start) >> self.bucket_shift).ok()
    }

    /// The name of the symbol that code at an address belongs to, in the same file.
    pub(super) fn containing<'a>(
        &self,
        object: &object::File<'a>,
        address: u64,
    ) -> Option<&'a str> {
        let table = object.symbol_table().or_else(|| object.dynamic_symbol_table())?;
        let (entries, endian) = entries(object);
        let mut best = None;
        for bucket in (0..=self.bucket(address)?).rev() {
            let blocks = self.starts[bucket] as usize..self.starts[bucket + 1] as usize;
            for &block in &self.blocks[blocks] {
                let first = (block as usize) << self.block_shift;
                let part = &entries[first..entries.len().min(first + (1 << self.block_shift))];
                for (index, entry) in (first..).zip(part) {
                    if entry.st_value.get(endian) <= address {
                        take_better(&mut best, table.symbol_by_index(SymbolIndex(index)).ok());
                    }
                }
            }
            // What else is in a block may begin long before this bucket, and something nearer in
            // a bucket between.
            if best.as_ref().is_some_and(|(rank, _)| self.bucket(rank.begin) == Some(bucket)) {
                break;
            }
        }
        let (rank, symbol) = best?;
        let is_inside = match symbol.size() {
            // Of unknown size: it goes on to the next symbol, or to the end of its section.
            0 => !object.sections().any(|section| {
                let end = section.address().saturating_add(section.size());
                rank.begin < end && end <= address
            }),
            size => address - rank.begin < size,
        };
        symbol.name().ok().filter(|_| is_inside)
    }

    pub(super) fn bytes(&self) -> usize {
        (self.starts.capacity() + self.blocks.capacity()) * size_of::<u32>()
    }
}

fn entries<'a>(object: &object::File<'a>) -> (&'a [Entry], object::Endianness) {
    let object::File::Elf64(elf) = object else { return (&[], object::Endianness::Little) };
    let tables = [elf.elf_symbol_table(), elf.elf_dynamic_symbol_table()];
    let entries = tables.iter().map(|table| table.symbols()).find(|entries| !entries.is_empty());
    (entries.unwrap_or_default(), elf.endian())
}

/// From the first section that is executed to the last. A file that has the debugging information
/// alone has these sections, without bytes.
fn code(object: &object::File<'_>) -> Range<u64> {
    let mut code = Range { start: u64::MAX, end: 0 };
    for section in object.sections() {
        if let SectionFlags::Elf { sh_flags, .. } = section.flags()
            && sh_flags.contains(SHF_EXECINSTR)
        {
            code.start = code.start.min(section.address());
            code.end = code.end.max(section.address().saturating_add(section.size()));
        }
    }
    if code.start < code.end { code } else { 0..0 }
}

fn take_better<'a, S: ObjectSymbol<'a>>(best: &mut Option<(Rank, S)>, symbol: Option<S>) {
    let Some(symbol) = symbol else { return };
    let Some(rank) = Rank::of(&symbol) else { return };
    let is_better = best.as_ref().is_none_or(|(known, _)| rank > *known);
    if is_better && symbol.name().is_ok_and(|name| !name.is_empty()) {
        *best = Some((rank, symbol));
    }
}

/// The greatest is taken: the one that begins last, and of those that begin together the one that
/// says most.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    begin: u64,
    has_kind: bool,
    has_size: bool,
    /// How far it can be seen.
    scope: u8,
    /// Later ones are more specific.
    index: usize,
}

impl Rank {
    fn of<'a>(symbol: &impl ObjectSymbol<'a>) -> Option<Self> {
        let has_kind = match symbol.kind() {
            SymbolKind::Text | SymbolKind::Data => true,
            SymbolKind::Unknown => false,
            _ => return None,
        };
        let scope = match symbol.scope() {
            SymbolScope::Unknown => 0,
            SymbolScope::Compilation => 1,
            SymbolScope::Linkage => 2,
            SymbolScope::Dynamic => 3,
        };
        symbol.is_definition().then(|| Self {
            begin: symbol.address(),
            has_kind,
            has_size: symbol.size() != 0,
            scope,
            index: symbol.index().0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_are_found_in_a_bounded_table_however_many_there_are() {
        let file = std::fs::File::open(std::env::current_exe().unwrap()).unwrap();
        let map = crate::stack::ffi::map_file(&file).unwrap();
        let object = object::File::parse(&*map).unwrap();
        let all = Symbols::read(&object);
        assert_eq!(all.block_shift, 0);
        let least = Symbols::read_within(&object, 1 << 12, 1 << 13);
        assert!(least.blocks.len() <= 1 << 13 && least.block_shift > 0);
        assert!(least.bytes() < all.bytes() && all.bytes() <= 1 << 20, "{}", all.bytes());
        let step = usize::try_from(all.code.end - all.code.start).unwrap() / 500;
        let mut found = 0;
        for address in all.code.clone().step_by(step) {
            let name = all.containing(&object, address);
            assert_eq!(name, least.containing(&object, address), "{address:#x}");
            found += usize::from(name.is_some());
        }
        assert!(found > 400, "{found}");
    }
}
