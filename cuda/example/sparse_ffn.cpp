/**
 * A backend for the CPU, as small as one can be: the three operations of a sparse feed-forward block, layer norm, and
 * attention over chosen heads, as the catalogue of shadowllm defines them.
 *
 *   g++ -std=c++17 -O2 -ffp-contract=off -o sparse_ffn sparse_ffn.cpp
 *   shadowllm parity export-ops --output expected --ops linear,relu,linear_input_major,layer_norm,attention
 *   ./sparse_ffn expected actual
 *   shadowllm parity check-ops expected actual
 *
 * In a sparse block only the chosen neurons are computed: fc1 is `linear` over their rows, fc2, which is stored a row per
 * neuron, is `linear_input_major` over the same list. Nothing of the other neurons is read.
 */

#include "float_contract.hpp"
#include "parity_main.hpp"

#include <algorithm>

namespace {

// y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, and 0 for the others
void linear(float *y, const float *x, const float *weight, const float *bias, const int *rows, int T, int O, int I, int R) {
  std::fill(y, y + count(T, O), 0.0f);
  for (int r = 0; r < (rows ? R : O); r++) {
    const int o = rows ? rows[r] : r;
    for (int t = 0; t < T; t++) {
      const float product = dot(x + count(t, I), weight + count(o, I), I);
      y[count(t, O) + o] = bias ? plus(product, bias[o]) : product;
    }
  }
}

void relu(float *y, const float *x, int N) {
  for (int n = 0; n < N; n++) y[n] = x[n] > 0.0f ? x[n] : 0.0f;
}

// y[t, o] = sum over chosen inputs i, in the order of the list, of x[t, i] * weight[i, o], and the bias last
void linear_input_major(float *y, const float *x, const float *weight, const float *bias, const int *inputs, int T, int O,
                        int I, int R) {
  for (int t = 0; t < T; t++)
    for (int o = 0; o < O; o++) {
      float total = 0.0f;
      for (int r = 0; r < (inputs ? R : I); r++) {
        const int i = inputs ? inputs[r] : r;
        total = plus(total, times(x[count(t, I) + i], weight[count(i, O) + o]));
      }
      y[count(t, O) + o] = bias ? plus(total, bias[o]) : total;
    }
}

void layer_norm(float *y, const float *x, const float *weight, const float *bias, float epsilon, int T, int D) {
  for (int t = 0; t < T; t++) {
    const float *row = x + count(t, D);
    const float mean = sum(row, D) / static_cast<float>(D);
    const float variance = sumSquaredDeviations(row, D, mean) / static_cast<float>(D);
    const float scale = 1.0f / std::sqrt(plus(variance, epsilon));
    for (int d = 0; d < D; d++) y[count(t, D) + d] = plus(times(times(plus(row[d], -mean), scale), weight[d]), bias[d]);
  }
}

// Token t of the T new ones sees the W positions of the cache up to S - T + t.
void attention(float *y, const float *query, const float *key, const float *value, const int *heads,
               const int *keyHeads, float scale, float cap, int T, int S, int W, int C, int H, int /* G */, int K,
               int R) {
  std::fill(y, y + count(T, H, K), 0.0f);
  std::vector<float> scaled(count(K)), weights(count(S));
  for (int r = 0; r < (heads ? R : H); r++) {
    const int h = heads ? heads[r] : r;
    const size_t past = count(keyHeads[h], C, K);
    for (int t = 0; t < T; t++) {
      const int end = S - T + t + 1;
      const int first = std::max(0, end - W);
      const size_t row = (count(t, H) + h) * K;
      for (int k = 0; k < K; k++) scaled[k] = times(query[row + k], scale);
      float most = -INFINITY;
      for (int s = first; s < end; s++) {
        weights[s] = capped(dot(scaled.data(), key + past + count(s, K), K), cap);
        if (weights[s] > most) most = weights[s];
      }
      for (int s = first; s < end; s++) weights[s] = exponential(plus(weights[s], -most));
      const float total = sum(weights.data() + first, end - first);
      for (int s = first; s < end; s++) {
        const float share = weights[s] / total;
        for (int k = 0; k < K; k++) y[row + k] = plus(y[row + k], times(share, value[past + count(s, K) + k]));
      }
    }
  }
}

} // namespace

int main(int argc, char **argv) { return answerAll(argc, argv, {linear, relu, linear_input_major, layer_norm, attention}); }
