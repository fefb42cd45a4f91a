/**
 * The same backend with its kernels on a GPU: sparse_ffn.cpp says what it is and how its answers are checked.
 *
 *   nvcc -std=c++17 -arch=sm_80 -o sparse_ffn_cuda sparse_ffn.cu
 *
 * A kernel has a thread for every sum whose order the definitions fix, so that the bits are those of the CPU: an output of a
 * matrix product, a token of layer norm, a head of a token of attention. It is written to be read; a fast one splits the
 * sums where they are striped.
 */

#include "float_contract.hpp"
#include "parity_main.hpp"

#include <cuda_runtime.h>

namespace {

void check(cudaError_t status, const char *what) {
  if (status != cudaSuccess) throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(status));
}

// Numbers on the device, given back at the end of a call; those of a null pointer are none.
template <class Number> class OnDevice {
public:
  OnDevice(const Number *values, size_t length) : isThere(values != nullptr) {
    if (!isThere) return;
    check(cudaMalloc(&place, std::max<size_t>(1, length) * sizeof(Number)), "cudaMalloc");
    check(cudaMemcpy(place, values, length * sizeof(Number), cudaMemcpyHostToDevice), "cudaMemcpy to the device");
  }
  ~OnDevice() { cudaFree(place); }
  OnDevice(const OnDevice &) = delete;
  OnDevice &operator=(const OnDevice &) = delete;

  Number *get() const { return isThere ? place : nullptr; }

  void copyTo(Number *values, size_t length) const {
    check(cudaGetLastError(), "kernel launch");
    check(cudaMemcpy(values, place, length * sizeof(Number), cudaMemcpyDeviceToHost), "cudaMemcpy from the device");
  }

private:
  bool isThere;
  Number *place = nullptr;
};

// Outputs start as zeros: what is not chosen stays so.
OnDevice<float> zeros(size_t length) {
  const std::vector<float> values(std::max<size_t>(1, length));
  return {values.data(), length};
}

constexpr unsigned THREADS = 128;

// Blocks for so many threads.
unsigned blocksFor(size_t threads) { return static_cast<unsigned>((threads + THREADS - 1) / THREADS); }

// The number of this thread; threads past the last one have nothing to do.
__device__ size_t threadNumber() { return static_cast<size_t>(blockIdx.x) * blockDim.x + threadIdx.x; }

__global__ void linearKernel(float *y, const float *x, const float *weight, const float *bias, const int *rows, int T, int O,
                             int I, int chosen) {
  const size_t thread = threadNumber();
  if (thread >= static_cast<size_t>(T) * chosen) return;
  const size_t t = thread / chosen;
  const int r = static_cast<int>(thread % chosen);
  const int o = rows ? rows[r] : r;
  const float product = dot(x + t * I, weight + static_cast<size_t>(o) * I, I);
  y[t * O + o] = bias ? plus(product, bias[o]) : product;
}

void linear(float *y, const float *x, const float *weight, const float *bias, const int *rows, int T, int O, int I, int R) {
  const int chosen = rows ? R : O;
  const size_t threads = count(T, chosen);
  const auto out = zeros(count(T, O));
  const OnDevice<float> in(x, count(T, I)), matrix(weight, count(O, I)), shift(bias, count(O));
  const OnDevice<int> list(rows, count(R));
  if (threads > 0)
    linearKernel<<<blocksFor(threads), THREADS>>>(out.get(), in.get(), matrix.get(), shift.get(), list.get(), T, O, I, chosen);
  out.copyTo(y, count(T, O));
}

__global__ void reluKernel(float *y, const float *x, int N) {
  const size_t n = threadNumber();
  if (n < static_cast<size_t>(N)) y[n] = x[n] > 0.0f ? x[n] : 0.0f;
}

void relu(float *y, const float *x, int N) {
  const auto out = zeros(count(N));
  const OnDevice<float> in(x, count(N));
  if (N > 0) reluKernel<<<blocksFor(count(N)), THREADS>>>(out.get(), in.get(), N);
  out.copyTo(y, count(N));
}

__global__ void linearInputMajorKernel(float *y, const float *x, const float *weight, const float *bias, const int *inputs,
                                       int T, int O, int I, int chosen) {
  const size_t thread = threadNumber();
  if (thread >= static_cast<size_t>(T) * O) return;
  const size_t t = thread / O;
  const size_t o = thread % O;
  float total = 0.0f;
  for (int r = 0; r < chosen; r++) {
    const size_t i = inputs ? inputs[r] : r;
    total = plus(total, times(x[t * I + i], weight[i * O + o]));
  }
  y[thread] = bias ? plus(total, bias[o]) : total;
}

void linear_input_major(float *y, const float *x, const float *weight, const float *bias, const int *inputs, int T, int O,
                        int I, int R) {
  const size_t threads = count(T, O);
  const auto out = zeros(threads);
  const OnDevice<float> in(x, count(T, I)), matrix(weight, count(I, O)), shift(bias, count(O));
  const OnDevice<int> list(inputs, count(R));
  if (threads > 0)
    linearInputMajorKernel<<<blocksFor(threads), THREADS>>>(out.get(), in.get(), matrix.get(), shift.get(), list.get(), T, O,
                                                            I, inputs ? R : I);
  out.copyTo(y, threads);
}

__global__ void layerNormKernel(float *y, const float *x, const float *weight, const float *bias, float epsilon, int T,
                                int D) {
  const size_t t = threadNumber();
  if (t >= static_cast<size_t>(T)) return;
  const float *row = x + t * D;
  const float width = static_cast<float>(D);
  const float mean = __fdiv_rn(sum(row, D), width);
  const float variance = __fdiv_rn(sumSquaredDeviations(row, D, mean), width);
  const float scale = __fdiv_rn(1.0f, __fsqrt_rn(plus(variance, epsilon)));
  for (int d = 0; d < D; d++) y[t * D + d] = plus(times(times(plus(row[d], -mean), scale), weight[d]), bias[d]);
}

void layer_norm(float *y, const float *x, const float *weight, const float *bias, float epsilon, int T, int D) {
  const auto out = zeros(count(T, D));
  const OnDevice<float> in(x, count(T, D)), factor(weight, count(D)), shift(bias, count(D));
  if (T > 0)
    layerNormKernel<<<blocksFor(count(T)), THREADS>>>(out.get(), in.get(), factor.get(), shift.get(), epsilon, T, D);
  out.copyTo(y, count(T, D));
}

// weights [T * chosen, S] and scaled [T * chosen, K] are scratch, a row for each thread.
__global__ void attentionKernel(float *y, float *weights, float *scaled, const float *query, const float *key,
                                const float *value, const int *heads, const int *keyHeads, float scale, float cap,
                                int T, int S, int W, int C, int H, int K, int chosen) {
  const size_t thread = threadNumber();
  if (thread >= static_cast<size_t>(T) * chosen) return;
  const int t = static_cast<int>(thread / chosen);
  const int r = static_cast<int>(thread % chosen);
  const size_t h = heads ? heads[r] : r;
  const size_t past = static_cast<size_t>(keyHeads[h]) * C * K;
  const int end = S - T + t + 1;
  const int first = end > W ? end - W : 0;
  const size_t row = (static_cast<size_t>(t) * H + h) * K;
  weights += thread * S;
  scaled += thread * K;
  for (int k = 0; k < K; k++) scaled[k] = times(query[row + k], scale);
  float most = -INFINITY;
  for (int s = first; s < end; s++) {
    weights[s] = capped(dot(scaled, key + past + static_cast<size_t>(s) * K, K), cap);
    if (weights[s] > most) most = weights[s];
  }
  for (int s = first; s < end; s++) weights[s] = exponential(plus(weights[s], -most));
  const float total = sum(weights + first, end - first);
  for (int s = first; s < end; s++) {
    const float share = __fdiv_rn(weights[s], total);
    for (int k = 0; k < K; k++) y[row + k] = plus(y[row + k], times(share, value[past + static_cast<size_t>(s) * K + k]));
  }
}

void attention(float *y, const float *query, const float *key, const float *value, const int *heads,
               const int *keyHeads, float scale, float cap, int T, int S, int W, int C, int H, int G, int K,
               int R) {
  const int chosen = heads ? R : H;
  const size_t threads = count(T, chosen);
  const auto out = zeros(count(T, H, K)), weights = zeros(threads * S), scaled = zeros(threads * K);
  const OnDevice<float> q(query, count(T, H, K)), k(key, count(G, C, K)), v(value, count(G, C, K));
  const OnDevice<int> list(heads, count(R)), groups(keyHeads, count(H));
  if (threads > 0)
    attentionKernel<<<blocksFor(threads), THREADS>>>(out.get(), weights.get(), scaled.get(), q.get(), k.get(), v.get(),
                                                     list.get(), groups.get(), scale, cap, T, S, W, C, H, K, chosen);
  out.copyTo(y, count(T, H, K));
}

} // namespace

int main(int argc, char **argv) { return answerAll(argc, argv, {linear, relu, linear_input_major, layer_norm, attention}); }
