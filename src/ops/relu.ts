/**
 * relu: the activation of OPT's feed-forward block. relu_gate: that of a gated block whose gate is rectified.
 *
 *   y = x > 0 ? x : +0              x_grad = x > 0 ? y_grad : +0
 *   y = gate > 0 ? gate up : +0     gate_grad = gate > 0 ? y_grad up : +0     up_grad = gate > 0 ? y_grad gate : +0
 *
 * Where the gate is not above 0, `up` is not looked at: its neuron may be left out.
 */
/** y = max(x, 0); NaN gives +0. */
export function relu(y: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = x[n] > 0 ? x[n] : 0
}

/** x_grad = y_grad where x > 0, else +0. At the kink the gradient is 0, as in PyTorch. */
export function relu_backward(x_grad: Float32Array, y_grad: Float32Array, x: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) x_grad[n] = x[n] > 0 ? y_grad[n] : 0
}

/** y = max(gate, 0) * up; a NaN of the gate gives +0. */
export function relu_gate(y: Float32Array, gate: Float32Array, up: Float32Array, N: number): void {
  for (let n = 0; n < N; n++) y[n] = gate[n] > 0 ? gate[n] * up[n] : 0
}

/** Gradients of relu_gate. */
export function relu_gate_backward(
  gate_grad: Float32Array, // [N]
  up_grad: Float32Array, // [N]
  y_grad: Float32Array, // [N]
  gate: Float32Array, // [N]
  up: Float32Array, // [N]
  N: number,
): void {
  for (let n = 0; n < N; n++) {
    const isOpen = gate[n] > 0
    gate_grad[n] = isOpen ? y_grad[n] * up[n] : 0
    up_grad[n] = isOpen ? y_grad[n] * gate[n] : 0
  }
}
