//! A neighbour that writes anything into the shared words: the heap answers with errors or odd places inside the arena,
//! but never panics, leaves the arena or loops for ever.

use proptest::prelude::*;

use super::super::class::Class;
use super::super::format::{BlockWord, ChunkWord};
use super::*;

/// Numbers that look like words of an arena, and numbers that do not.
fn word() -> impl Strategy<Value = u64> {
    let owner = prop_oneof![
        (0u32..4, 0u32..3).prop_map(|(slot, incarnation)| OwnerId::new(slot, incarnation)),
        Just(OwnerId::KEPT),
    ];
    let holding = (owner.clone(), any::<bool>()).prop_map(|(owner, parked)| Holding { owner, parked });
    let class = (0u64..=32_640).prop_map(|len| Class::for_len(len).unwrap());
    let epoch = prop_oneof![0u32..3, Just((1 << 24) - 1)];
    prop_oneof![
        any::<u64>(),
        Just(0),
        (0u32..1 << 29, holding.clone())
            .prop_map(|(count, holding)| ChunkWord::Head { count, holding }.encode()),
        (0u32..4, holding.clone()).prop_map(|(count, holding)| ChunkWord::Head { count, holding }.encode()),
        owner.clone().prop_map(|owner| ChunkWord::Tail { owner }.encode()),
        (class.clone(), epoch.clone(), any::<bool>()).prop_map(|(class, epoch, full)| ChunkWord::Slab {
            class,
            epoch,
            full
        }
        .encode()),
        (class, epoch.clone(), owner).prop_map(|(class, epoch, owner)| ChunkWord::Preparing {
            class,
            epoch,
            owner
        }
        .encode()),
        (epoch.clone(), holding).prop_map(|(epoch, holding)| BlockWord::Live { epoch, holding }.encode()),
        epoch.prop_map(|epoch| BlockWord::Free { epoch }.encode()),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 200 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn vandalism_stays_inside(
        table in proptest::collection::vec((0u64..8, word()), 0..12),
        blocks in proptest::collection::vec((0u32..8, 0u32..40, word()), 0..40),
        slots in proptest::collection::vec((0u32..8, any::<u64>()), 0..4),
        lens in proptest::collection::vec(0u64..200_000, 1..8),
    ) {
        let memory = Memory::with_chunks(8);
        let process = Process::new(&memory);
        let held: Vec<_> = lens.iter().filter_map(|len| process.claim(*len)).collect();
        let heap = &process.heap;
        for (slot, word) in slots {
            heap.region.word(Geometry::slot_word_at(slot + 1)).store(word);
        }
        for (chunk, word) in table {
            heap.chunk_word(chunk as u32).store(word);
        }
        for (chunk, index, word) in blocks {
            heap.block_word(chunk, index).store(word);
        }
        let inside = |place: Place| {
            let start = heap.offset_of(place);
            prop_assert!(start >= heap.geometry.chunk_area);
            prop_assert!(start + place.capacity() <= memory.len());
            Ok(())
        };
        for at in (0..memory.len() + 3 * CHUNK).step_by(4093 * 64).chain([u64::MAX, u64::MAX - 63]) {
            if let Some((place, _)) = heap.locate(at) {
                inside(place)?;
            }
        }
        for place in held {
            process.free(place);
        }
        for round in 0..2 {
            for len in &lens {
                if let Some(place) = process.claim(*len) {
                    inside(place)?;
                }
            }
            let mut seen = 0;
            heap.walk(|item| {
                seen += 1;
                if let Item::Live(place, _) = item {
                    assert!(heap.offset_of(place) + place.capacity() <= memory.len());
                }
            });
            prop_assert!(seen <= 8 * 910);
            process.reclaim();
            let other = Process::new(&memory);
            other.claim(round * 100_000);
        }
    }
}
