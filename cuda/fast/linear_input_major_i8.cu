/**
 * linear_input_major_i8_fast: the bits of the definition, for its sums are exact. A block for 32 outputs of a token,
 * whose rows are shared out among groups of eight threads; a thread has four neighbouring outputs.
 */
#include "bytes.cuh"

namespace fast {

/** Outputs of a block. */
constexpr int BYTE_COLUMNS = 32;
/** Threads that a row is for. */
constexpr int WORDS = BYTE_COLUMNS / 4;
/** Factors that are rounded at a time. */
constexpr int FACTORS = 512;

} // namespace fast

extern "C" __global__ void linear_input_major_i8_fast(
  float *y,                  // [T, O]
  const float *x,            // [T, I]
  const signed char *weight, // [I, O]
  const float *scales,       // [I]
  const float *bias,         // [O], or null
  const int *inputs,         // [R], or null
  int, int O, int I, int R
) {
  using namespace fast;
  __shared__ int numbers[FACTORS];
  __shared__ int places[FACTORS];
  __shared__ int sums_of[MOST_THREADS / WORDS][BYTE_COLUMNS];
  const int thread = threadIdx.x;
  const int groups = blockDim.x / WORDS;
  const int group = thread / WORDS;
  const int column = thread % WORDS * 4;
  const int blocks_of_token = (O + BYTE_COLUMNS - 1) / BYTE_COLUMNS;
  const size_t t = blockIdx.x / blocks_of_token;
  const long long first = (long long)(blockIdx.x % blocks_of_token) * BYTE_COLUMNS;
  const int left = (int)min((long long)BYTE_COLUMNS, O - first) - column;
  const int count = inputs ? R : I;
  x += t * I;
  y += t * O + first;
  weight += first + column;
  const bool wide = (reinterpret_cast<size_t>(weight) | O) % 4 == 0 && left >= 4;
  const auto input = [&](int r) { return inputs ? inputs[r] : r; };
  const auto factor = [&](int i) { return mul(x[i], scales[i]); };
  const Steps steps = block_steps([&](int r) { return factor(input(r)); }, count);
  int sums[4] = {};
  for (int start = 0; start < count; start += FACTORS) {
    const int width = min(FACTORS, count - start);
    for (int r = thread; r < width; r += blockDim.x) {
      places[r] = input(start + r);
      numbers[r] = round_to(steps, factor(places[r]));
    }
    __syncthreads();
    for (int r = group; r < width; r += groups) {
      const signed char *row = weight + (size_t)places[r] * O;
      const int word = wide ? *reinterpret_cast<const int *>(row) : load_word(row, left);
      for (int n = 0; n < 4; n++) sums[n] += numbers[r] * byte_of(word, n);
    }
    __syncthreads();
  }
  for (int n = 0; n < 4; n++) sums_of[group][column + n] = sums[n];
  __syncthreads();
  if (thread >= BYTE_COLUMNS || first + thread >= O) return;
  int sum = 0;
  for (int n = 0; n < groups; n++) sum += sums_of[n][thread];
  y[thread] = add(mul(steps.step, __int2float_rn(sum)), bias ? bias[first + thread] : 0);
}
