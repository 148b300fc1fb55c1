//! The integral of x over [0, 1) by the rectangle rule: an array of n terms, filled and summed chunk by chunk.

/// Elements in a chunk unless said otherwise: 8 MiB of `f64`.
pub const CHUNK: usize = 1 << 20;

/// Elements that are numbered from one base.
const BLOCK: usize = 1 << 20;

/// Fills a chunk of an array of `total` terms, which begins at element `offset`, and returns its sum.
///
/// ```
/// let mut chunk = [0.0; 4];
/// assert_eq!(shm_bench::integral::fill_and_sum(&mut chunk, 4, 8), (4.0 + 5.0 + 6.0 + 7.0) / 64.0);
/// ```
pub fn fill_and_sum(chunk: &mut [f64], offset: usize, total: usize) -> f64 {
    let dx = 1.0 / total as f64;
    for (block, terms) in chunk.chunks_mut(BLOCK).enumerate() {
        // Numbers of 32 bits are what processors convert several at a time; the sum of the two is exact.
        let base = (offset + block * BLOCK) as f64;
        for (i, term) in terms.iter_mut().enumerate() {
            *term = (base + f64::from(i as i32)) * dx * dx;
        }
    }
    sum(chunk)
}

/// Sums a slice in eight lanes, which the compiler can keep in vector registers.
///
/// ```
/// assert_eq!(shm_bench::integral::sum(&[0.5; 19]), 9.5);
/// ```
pub fn sum(values: &[f64]) -> f64 {
    let mut lanes = [0.0; 8];
    let (chunks, rest) = values.as_chunks::<8>();
    for chunk in chunks {
        for (lane, value) in lanes.iter_mut().zip(chunk) {
            *lane += value;
        }
    }
    lanes.iter().sum::<f64>() + rest.iter().sum::<f64>()
}

/// What the terms must add up to.
///
/// ```
/// assert_eq!(shm_bench::integral::expected(2), 0.25);
/// ```
pub fn expected(total: usize) -> f64 {
    if total == 0 { 0.0 } else { (total as f64 - 1.0) / (2.0 * total as f64) }
}

/// Tells whether two sums of the same terms agree, rounding aside.
///
/// ```
/// use shm_bench::integral::agree;
/// assert!(agree(0.5, 0.5 + 1e-13) && !agree(0.5, 0.5 + 1e-7) && !agree(0.5, f64::NAN));
/// ```
pub fn agree(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-10 * a.abs().max(b.abs()).max(f64::MIN_POSITIVE)
}
