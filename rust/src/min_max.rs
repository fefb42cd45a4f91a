//! min_max: y = (x - min) / (max - min) per row, 0 for a constant row. One number at a time: of zeros of both signs the
//! first is the least, and the sign shows in y.

#[no_mangle]
pub unsafe extern "C" fn min_max(
    y: *mut f32,   // [T, D]
    x: *const f32, // [T, D]
    T: usize,
    D: usize,
) {
    for t in 0..T {
        let (from, to) = (x.wrapping_add(t * D), y.wrapping_add(t * D));
        let (mut least, mut most) = (f32::INFINITY, f32::NEG_INFINITY);
        for d in 0..D {
            let value = *from.wrapping_add(d);
            if value < least {
                least = value;
            }
            if value > most {
                most = value;
            }
        }
        let range = most - least;
        for d in 0..D {
            *to.wrapping_add(d) = if range > 0.0 { (*from.wrapping_add(d) - least) / range } else { 0.0 };
        }
    }
}
