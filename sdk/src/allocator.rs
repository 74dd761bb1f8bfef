//! The allocator of components: the blocks of one request serve the next.
//!
//! A request and its answer cross the border as some twenty small blocks, which the host asks for one by one, and almost all are of the sizes of the request
//! before. The allocator of wasi-libc, made for any pattern, spends 70 % of the instructions of a small request on them. So freed blocks of
//! up to 1 KiB are kept in a list for each power of two and handed out again, and everything else is left to the allocator below. Two allocators of
//! crates.io that support wasm (talc 5.1, rlsf 0.2) were tried in its stead, and took more instructions than wasi-libc's.
//!
//! The lists are bounded, so that the memory of a burst goes back to where blocks are joined. Nothing here knows of threads: a component has one.
#![expect(unsafe_code, reason = "an allocator: what it hands out is memory")]

use std::alloc::{GlobalAlloc, Layout};
use std::cell::Cell;
use std::ptr::{self, NonNull};

/// The classes: 16 bytes, 32, …, 1024.
const CLASSES: usize = 7;
const SMALLEST: usize = 16;
const LARGEST: usize = SMALLEST << (CLASSES - 1);

/// What the allocator below gives without effort, and more than nearly all types ask for.
const ALIGNMENT: usize = 8;

/// How many free blocks a list keeps: more than a request of an ordinary client has, and in all lists together no more than 128 KiB.
const KEPT: usize = 64;

/// Keeps freed blocks of `A` for later.
pub(crate) struct Recycling<A> {
    below: A,
    lists: [List; CLASSES],
}

/// The free blocks of one class. The first word of each block points to the next.
struct List {
    first: Cell<Option<NonNull<Free>>>,
    length: Cell<usize>,
}

/// A block that nobody uses.
struct Free {
    next: Option<NonNull<Free>>,
}

/// Which list a block belongs to. It depends on the layout alone, so a block finds the list that it came from.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Class(usize);

impl Class {
    /// None for blocks that are not kept.
    fn of(layout: Layout) -> Option<Class> {
        if layout.size() > LARGEST || layout.align() > ALIGNMENT {
            return None;
        }
        let last = layout.size().max(SMALLEST) - 1;
        Some(Class((last.ilog2() - (SMALLEST - 1).ilog2()) as usize))
    }

    /// The layout of each of its blocks.
    fn layout(self) -> Layout {
        // SAFETY: the alignment is a power of two, and the size no more than `LARGEST`.
        unsafe { Layout::from_size_align_unchecked(SMALLEST << self.0, ALIGNMENT) }
    }
}

impl<A> Recycling<A> {
    /// Keeps blocks of `below`.
    pub(crate) const fn new(below: A) -> Recycling<A> {
        Recycling { below, lists: [const { List { first: Cell::new(None), length: Cell::new(0) } }; CLASSES] }
    }

    fn list(&self, class: Class) -> Option<&List> {
        self.lists.get(class.0)
    }
}

impl List {
    fn take(&self) -> Option<NonNull<Free>> {
        let first = self.first.get()?;
        // SAFETY: what is in the list was put there by `put`, and nobody else has it.
        self.first.set(unsafe { first.as_ref() }.next);
        self.length.set(self.length.get() - 1);
        Some(first)
    }

    /// Takes `block` into the list; false when there are enough.
    ///
    /// # Safety
    ///
    /// `block` is a block of this list's class that nobody uses any more.
    unsafe fn put(&self, block: NonNull<Free>) -> bool {
        if self.length.get() >= KEPT {
            return false;
        }
        // SAFETY: a block of any class has room for a `Free` and is aligned for it.
        unsafe { block.write(Free { next: self.first.get() }) };
        self.first.set(Some(block));
        self.length.set(self.length.get() + 1);
        true
    }
}

// SAFETY: a block is what `below` made with the layout of its class, or with the layout that was asked for where that has no class; it is in use or in one list,
// never both. `realloc` is the default but where both sizes are of one class, or of none.
unsafe impl<A: GlobalAlloc> GlobalAlloc for Recycling<A> {
    #[inline(never)]
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let Some(class) = Class::of(layout) else {
            // SAFETY: the caller's promise.
            return unsafe { self.below.alloc(layout) };
        };
        match self.list(class).and_then(List::take) {
            Some(block) => block.as_ptr().cast(),
            // SAFETY: no class has blocks of no size.
            None => unsafe { self.below.alloc(class.layout()) },
        }
    }

    #[inline(never)]
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        let Some(class) = Class::of(layout) else {
            // SAFETY: a block without a class came from `below` with this layout.
            return unsafe { self.below.dealloc(block, layout) };
        };
        if let (Some(list), Some(free)) = (self.list(class), NonNull::new(block.cast::<Free>()))
            // SAFETY: a block of this layout is one of this class, and the caller gives it up.
            && unsafe { list.put(free) }
        {
            return;
        }
        // SAFETY: it came from `below` with the layout of its class.
        unsafe { self.below.dealloc(block, class.layout()) };
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller promises that `size` is one with this alignment.
        let wanted = unsafe { Layout::from_size_align_unchecked(size, layout.align()) };
        match (Class::of(layout), Class::of(wanted)) {
            (Some(old), Some(new)) if old == new => block,
            // SAFETY: a block without a class came from `below` with this layout, and stays without one.
            (None, None) => unsafe { self.below.realloc(block, layout, size) },
            _ => {
                // SAFETY: the caller's promise.
                let moved = unsafe { self.alloc(wanted) };
                if !moved.is_null() {
                    // SAFETY: both blocks have so many bytes, and the new one is no part of the old one; the old one is the caller's to give up.
                    unsafe {
                        ptr::copy_nonoverlapping(block, moved, layout.size().min(size));
                        self.dealloc(block, layout);
                    }
                }
                moved
            }
        }
    }
}

#[cfg(target_family = "wasm")]
mod component {
    use super::Recycling;

    // SAFETY: there are no threads.
    unsafe impl<A> Sync for Recycling<A> {}

    #[global_allocator]
    static ALLOCATOR: Recycling<std::alloc::System> = Recycling::new(std::alloc::System);
}

#[cfg(test)]
mod tests {
    use std::alloc::System;

    use super::*;

    /// Counts the blocks that it has given out.
    #[derive(Default)]
    struct Counting(Cell<usize>);

    // SAFETY: it is `System`, counted.
    unsafe impl GlobalAlloc for Counting {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            self.0.set(self.0.get() + 1);
            // SAFETY: the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
            self.0.set(self.0.get() - 1);
            // SAFETY: the caller's promise.
            unsafe { System.dealloc(block, layout) }
        }
    }

    fn allocator() -> Recycling<Counting> {
        Recycling::new(Counting::default())
    }

    fn layout(size: usize, align: usize) -> Layout {
        Layout::from_size_align(size, align).unwrap()
    }

    #[track_caller]
    fn check_class(size: usize, align: usize, block: Option<usize>) {
        assert_eq!(Class::of(layout(size, align)).map(|class| class.layout().size()), block);
    }

    #[test]
    fn a_block_is_of_the_next_power_of_two() {
        for (size, block) in [(0, 16), (1, 16), (16, 16), (17, 32), (32, 32), (33, 64), (1023, 1024), (1024, 1024)] {
            check_class(size, 1, Some(block));
            check_class(size, 8, Some(block));
        }
        check_class(1025, 1, None);
        check_class(16, 16, None);
    }

    #[test]
    fn a_freed_block_is_handed_out_again() {
        let allocator = allocator();
        // SAFETY: each block is freed once, with the layout that it was asked for with.
        unsafe {
            let first = allocator.alloc(layout(20, 1));
            allocator.dealloc(first, layout(20, 1));
            let (second, third) = (allocator.alloc(layout(32, 8)), allocator.alloc(layout(17, 1)));
            assert_eq!(first, second);
            assert_ne!(second, third);
            assert_eq!(allocator.below.0.get(), 2);
            let zeroed = allocator.alloc_zeroed(layout(20, 1));
            std::slice::from_raw_parts_mut(second, 32).fill(1);
            allocator.dealloc(zeroed, layout(20, 1));
            allocator.dealloc(second, layout(32, 8));
            let zeroed = allocator.alloc_zeroed(layout(32, 1));
            assert_eq!((zeroed, std::slice::from_raw_parts(zeroed, 32)), (second, &[0; 32][..]));
        }
    }

    #[test]
    fn more_blocks_than_are_kept_go_back() {
        let allocator = allocator();
        // SAFETY: each block is freed once, with the layout that it was asked for with.
        unsafe {
            let blocks: Vec<*mut u8> = (0..KEPT + 3).map(|_| allocator.alloc(layout(100, 4))).collect();
            blocks.iter().for_each(|block| allocator.dealloc(*block, layout(100, 4)));
            assert_eq!(allocator.below.0.get(), KEPT);
            let large = allocator.alloc(layout(LARGEST + 1, 1));
            allocator.dealloc(large, layout(LARGEST + 1, 1));
            assert_eq!(allocator.below.0.get(), KEPT);
        }
    }

    #[test]
    fn what_a_block_holds_survives_its_growing_and_shrinking() {
        let allocator = allocator();
        let sizes = [1, 10, 16, 17, 100, 1024, 1025, 5000, 1500, 1024, 900, 20, 3];
        // SAFETY: each layout is the one that the block had last.
        unsafe {
            let mut block = allocator.alloc(layout(1, 1));
            block.write(0);
            for (before, after) in sizes.iter().zip(&sizes[1..]) {
                block = allocator.realloc(block, layout(*before, 1), *after);
                let bytes = std::slice::from_raw_parts_mut(block, *after);
                let kept = *before.min(after);
                assert!((0..kept).all(|place| bytes[place] == place as u8), "{before} -> {after}");
                (0..*after).for_each(|place| bytes[place] = place as u8);
            }
            allocator.dealloc(block, layout(3, 1));
            assert!(allocator.below.0.get() <= CLASSES);
        }
    }
}
