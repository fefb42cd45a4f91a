//! The memory kernels work in. A kernel owns its piece while it runs and leaves nothing in it for the next call.
//!
//! The module has no data of its own. Its scratch is an object of the host's, of which it imports the address: that is how
//! the linker puts it, for a shared library, where an object is external. So instances which share a memory, one per thread,
//! do not work in each other's. The host gives a multiple of 64, below every buffer, and asks `scratch_size` how far it
//! reaches.
use core::arch::wasm32::v128;

/// A constant that was written to memory to be read from there, whatever compilers know of it.
#[inline(always)]
pub unsafe fn constant(at: *const v128) -> v128 {
    at.read_volatile()
}

/// The longest context an attention kernel takes, as in src/ops/attention.ts.
pub const LONGEST_CONTEXT: usize = 32768;

/// The longest sequence of `attention_backward`, as there.
const LONGEST_GRADIENT: usize = 8192;

/// Numbers of `attention_weights`: eight queries over the longest context, or more over a shorter one.
pub const MOST_WEIGHTS: usize = 8 * 32784;

/// Numbers of `attention_rows`.
pub const MOST_ROWS: usize = 16384;

#[repr(C, align(64))]
struct Scratch {
    /// Address 0 is null, so nothing begins there.
    _null: [u8; 64],
    accumulators: [v128; 4 * 24 * 5 * 2],
    packed_left: [f32; 524288],
    packed_right: [f32; 65536 + 128 * 16],
    row_tails: [v128; 12 * 15],
    row_biases: [v128; 12],
    edge_tile: [f32; 6 * 8],
    attention_weights: [f32; MOST_WEIGHTS],
    attention_rows: [f32; MOST_ROWS],
    score_gradients: [f32; LONGEST_GRADIENT],
    score_slopes: [f32; LONGEST_GRADIENT],
    head_values: [*const f32; 4],
    head_sums: [*mut f32; 4],
    exponential_constants: [v128; 14],
    block_factors: [i16; 64],
    row_addresses: [*const u8; 8],
    row_factors: [f32; 8],
    byte_counts: [usize; 256],
    half_places: [v128; 1],
    half_units: [v128; 1],
    quantized: [i16; 524288],
    token_steps: [f32; 64],
    nibbles: [v128; 1],
    short_block: [f32; 32],
    tile_sums: [f32; 4 + 64 * 64],
    opened_rows: [v128; 8 * 8],
    edge_columns: [f32; 64],
    gathered_rows: [u8; 2 * 2048 * 80],
}

// Nobody else looks into it, so that its form is nobody else's matter.
#[allow(improper_ctypes)]
extern "C" {
    static mut scratch: Scratch;
}

/// How much memory of its own an instance works in: bytes, a multiple of 64.
#[no_mangle]
pub extern "C" fn scratch_size() -> usize {
    size_of::<Scratch>()
}

macro_rules! pieces {
    ($($(#[$what:meta])* $name:ident: $T:ty;)*) => {$(
        $(#[$what])*
        #[inline(always)]
        pub fn $name() -> *mut $T {
            unsafe { (&raw mut scratch.$name).cast() }
        }
    )*};
}

pieces! {
    /// linear_tile: accumulators of a tile of tokens by a block of rows, [group 4][pair 24][token 5][row 2].
    accumulators: v128;
    /// A packed block of a product's left matrix, 524288 numbers; a list of inputs (nonzero.rs).
    packed_left: f32;
    /// A packed block of a product's right matrix, 65536 numbers and 128 gaps of 16 between panels.
    packed_right: f32;
    /// linear_tile: what a block's rows have past their last whole stripe, in fours, [12, 15].
    row_tails: v128;
    /// linear_tile: the biases of a block's rows, in fours, [12].
    row_biases: v128;
    /// outer_product: a tile that crosses the edge, [6, 8].
    edge_tile: f32;
    /// attention: the weights of several queries, `MOST_WEIGHTS` numbers.
    attention_weights: f32;
    /// attention over many tokens: queries ready for their keys, then values ready for their weights, `MOST_ROWS` numbers.
    attention_rows: f32;
    /// attention_backward: the gradients of one query's scores, [LONGEST_GRADIENT].
    score_gradients: f32;
    /// attention_backward: what capped scores gain with the scores, [LONGEST_GRADIENT].
    score_slopes: f32;
    /// attention over few tokens: where the values of a group of heads stand, [4].
    head_values: *const f32;
    /// attention over few tokens: where their sums do, [4].
    head_sums: *mut f32;
    /// softmax_row: the constants of e^x, [14].
    exponential_constants: v128;
    /// byte_values: the factors of a block of positions, [64].
    block_factors: i16;
    /// weighted_rows: where the rows of a group stand, [8].
    row_addresses: *const u8;
    /// weighted_rows: what the rows of a group are multiplied by, [8].
    row_factors: f32;
    /// top_k: how often each byte occurs, [256].
    byte_counts: usize;
    /// storage: a mask, [1].
    half_places: v128;
    /// storage: a factor, [1].
    half_units: v128;
    /// The int8 ops: numbers rounded to int16, [524288].
    quantized: i16;
    /// The int8 ops: the step of each token of a block, [64].
    token_steps: f32;
    /// The int4 ops: a mask of the lower halves of bytes, [1].
    nibbles: v128;
    /// The int4 ops: the numbers of a block that is not full, [32].
    short_block: f32;
    /// The int4 ops: four numbers on their way, then sums of a tile of 64 tokens by 64 outputs, [4 + 64 * 64].
    tile_sums: f32;
    /// linear_input_major_i4: eight pairs of rows, opened, [8, 8].
    opened_rows: v128;
    /// linear_input_major_i4: a tile at the edge, [64].
    edge_columns: f32;
    /// linear_i4: two times four rows side by side, of up to 2048 blocks, [2, 2048, 80].
    gathered_rows: u8;
}
