/**
 * The formula of each operation in the arithmetic of a class (arithmetic.ts): what a kernel of the class may hold for each number
 * that it writes. A formula holds for the parameters that stand beside it. A kernel with others, and one that has no formula
 * here, owes what its contract says (`relaxed` and `fast` in src/ops): bits, or a bound for fused products and for any order.
 */
import type { Activation } from '../../src/ops/activations.ts'
import { kernels, type KernelName } from '../../src/ops/catalog.ts'
import { keyHeadOf } from '../../src/ops/attention.ts'
import { VALUE_BLOCK } from '../../src/ops/attention_i8.ts'
import { LEVELS } from '../../src/ops/int8_blocks.ts'
import { NOT_SCORED } from '../../src/ops/cross_entropy.ts'
import type { Numbers, Sizes } from '../../src/ops/op.ts'
import { levelsFor } from '../../src/ops/quantized_steps.ts'
import { BLOCK, openRow, scaleAt, TILE, unitNumber } from '../../src/tensor/int4.ts'
import { widenBf16, widenF16 } from '../../src/tensor/halves.ts'
import { arraysOf } from '../../src/testing/op_case.ts'
import type { Values } from '../../src/testing/op_call.ts'
import { Arithmetic, type ClassName, type Near } from './arithmetic.ts'

type Nears = readonly Near[]
const zero: Near = { v: 0, e: 0 }
const range = <T>(count: number, make: (i: number) => T): T[] =>
  Array.from({ length: count }, (_, i) => make(i))

/** y = x weightᵀ + bias, or of the transposed matrix; the terms and outputs of the lists. */
export function product(
  a: Arithmetic,
  x: Nears,
  weight: Nears,
  bias: Nears | null,
  [T, O, I]: readonly [number, number, number],
  form: {
    inputMajor?: boolean
    sequential?: boolean
    rows?: Int32Array | null
    inputs?: Int32Array | null
  } = {},
): Near[] {
  const chosen = form.rows ? new Set(form.rows) : null
  const [step, row] = form.inputMajor ? [O, 1] : [1, I]
  const terms = form.inputs ? [...form.inputs] : null
  const xs = terms ? range(T, (t) => terms.map((i) => x[t * I + i])).flat() : x
  const n = terms ? terms.length : I
  return range(T * O, (at) => {
    const [t, o] = [Math.floor(at / O), at % O]
    if (chosen && !chosen.has(o)) return zero
    const column = terms ? terms.map((i) => weight[o * row + i * step]) : weight
    const start = terms ? 0 : o * row
    const dot = a.dot(n, xs, t * n, column, start, !(form.inputMajor || form.sequential), terms ? 1 : step)
    return bias ? a.add(dot, bias[o]) : dot
  })
}

/** (x - mean) / sqrt(variance + epsilon), and 1 over that root. */
function normal(a: Arithmetic, x: Nears, D: number, epsilon: number): { n: Near[]; scale: Near } {
  const count = a.exactly(D)
  const mean = a.div(
    a.sum(D, (d) => x[d]),
    count,
  )
  const off = x.map((value) => a.sub(value, mean))
  const variance = a.div(a.dot(D, off, 0, off, 0), count)
  const scale = a.div(a.exactly(1), a.sqrt(a.add(variance, a.exactly(epsilon))))
  return { n: off.map((value) => a.mul(value, scale)), scale }
}

function rmsNormal(a: Arithmetic, x: Nears, D: number, epsilon: number): { n: Near[]; scale: Near } {
  const square = a.div(a.dot(D, x, 0, x, 0), a.exactly(D))
  const scale = a.div(a.exactly(1), a.sqrt(a.add(square, a.exactly(epsilon))))
  return { n: x.map((value) => a.mul(value, scale)), scale }
}

const rowsOf = (x: Nears, T: number, D: number, of: (row: Nears, t: number) => Near[]): Near[] =>
  range(T, (t) => of(x.slice(t * D, (t + 1) * D), t)).flat()

export function layerNorm(
  a: Arithmetic,
  x: Nears,
  w: Nears,
  b: Nears,
  epsilon: number,
  T: number,
  D: number,
): Near[] {
  return rowsOf(x, T, D, (row) =>
    normal(a, row, D, epsilon).n.map((value, d) => a.add(a.mul(value, w[d]), b[d])),
  )
}

export function rmsNorm(a: Arithmetic, x: Nears, w: Nears, epsilon: number, T: number, D: number): Near[] {
  return rowsOf(x, T, D, (row) => rmsNormal(a, row, D, epsilon).n.map((value, d) => a.mul(value, w[d])))
}

/** Exponentials of a row, shifted by its largest, and their sum. */
function exponentials(a: Arithmetic, x: Nears): { most: Near; powers: Near[]; total: Near } {
  const most = a.largest(x.length, (i) => x[i])
  const powers = x.map((value) => a.exp(a.sub(value, most)))
  return { most, powers, total: a.sum(x.length, (i) => powers[i]) }
}

/** Shares of one: however far scores are off, a share is between 0 and 1, unless a score is not finite. */
function softmax(a: Arithmetic, x: Nears): Near[] {
  const { powers, total } = exponentials(a, x)
  const most = x.every(({ e }) => e < Infinity) ? 1 : Infinity
  return powers.map((power) => {
    const { v, e } = a.div(power, total)
    return { v, e: Math.min(e, most) }
  })
}

export function rotate(a: Arithmetic, x: Nears, table: Nears, H: number, R: number, K: number): Near[] {
  const M = Math.floor(R / 2)
  return x.map((value, at) => {
    const [t, i] = [Math.floor(at / (H * K)), at % K]
    if (i >= 2 * M) return value
    const [cos, sin] = [table[t * R + (i % M)], table[t * R + M + (i % M)]]
    return i < M
      ? a.sub(a.mul(value, cos), a.mul(x[at + M], sin))
      : a.add(a.mul(value, cos), a.mul(x[at - M], sin))
  })
}

/** The sizes of attention. */
interface Attention {
  readonly T: number
  readonly S: number
  readonly C: number
  readonly H: number
  readonly G: number
  readonly K: number
  readonly scale: number
  /** Positions that a token sees, and the cap of scores; 0 where there are none. */
  readonly W?: number
  readonly cap?: number
}

export function attend(
  a: Arithmetic,
  query: Nears,
  key: Nears,
  value: Nears,
  { T, S, C, H, G, K, scale, W = S, cap = 0 }: Attention,
  heads: Int32Array | null = null,
  keyHeads: Int32Array | null = null,
): Near[] {
  const y: Near[] = range(T * H * K, () => zero)
  const by = a.exactly(scale)
  for (const h of heads ?? range(H, (i) => i)) {
    const start = (keyHeads ? keyHeads[h] : Math.floor((h * G) / H)) * C * K
    for (let t = 0; t < T; t++) {
      const at = (t * H + h) * K
      const visible = S - T + t + 1
      const first = Math.max(0, visible - W)
      const scaled = range(K, (k) => a.stored(a.mul(query[at + k], by)))
      const scores = range(visible - first, (s) => a.dot(K, scaled, 0, key, start + (first + s) * K))
      const weights = softmax(a, cap > 0 ? scores.map((score) => a.capped(score, cap)) : scores)
      for (let k = 0; k < K; k++)
        y[at + k] = a.dot(visible - first, weights, 0, value, start + first * K + k, false, K)
    }
  }
  return y
}

/** Numbers as whole steps of one size: a kernel that is unsure of a quotient may round it to another step. */
function inSteps(a: Arithmetic, x: Nears, levelsOf = levelsFor): { q: Near[]; step: Near } {
  const levels = levelsOf(x.filter(({ v }) => v !== 0).length)
  const fewest = levelsOf(x.filter(({ v, e }) => v !== 0 || e !== 0).length)
  const most = levelsOf(x.filter(({ v, e }) => Math.abs(v) > e).length)
  const isKnown = x.every(({ v, e }) => Number.isFinite(v) && Number.isFinite(e))
  const largest = a.largest(x.length, (i) => a.abs(x[i]))
  const step = a.div(largest, { v: levels, e: Math.max(levels - fewest, most - levels) })
  const nearest = (y: number): number => Math.max(-most, Math.min(most, Math.round(y)))
  const q = x.map((near): Near => {
    if (!isKnown) return { v: NaN, e: 0 }
    if (near.v === 0 && near.e === 0) return zero
    const { v, e } = a.div(near, step)
    return { v: nearest(v), e: Math.max(nearest(v + e) - nearest(v), nearest(v) - nearest(v - e)) }
  })
  return { q, step }
}

/** A sum of products of whole numbers, which is exact and rounded once. */
function wholeDot(a: Arithmetic, q: Nears, w: Nears, start: number, by = 1): Near {
  let [v, e] = [0, 0]
  for (const [i, own] of q.entries()) {
    v += own.v * w[start + i * by].v
    e += own.e * Math.abs(w[start + i * by].v)
  }
  return a.add({ v, e }, zero)
}

/** What a block of int4 weights n adds to an output. */
function blockTerm(a: Arithmetic, x: Nears, n: Nears, scale: Near, minimum: Near): Near {
  const { q, step } = inSteps(a, x, () => LEVELS)
  const ones = x.map(() => a.exactly(1))
  const product = a.mul(a.mul(scale, step), wholeDot(a, q, n, 0))
  return a.add(product, a.mul(minimum, a.mul(step, wholeDot(a, q, ones, 0))))
}

/** The sum of the terms of blocks, and the bias. */
function ofBlocks(a: Arithmetic, terms: Nears, bias: Near | null): Near {
  const total = a.sum(terms.length, (b) => terms[b], false)
  return bias ? a.add(total, bias) : total
}

/** Attention over int8: queries, and factors in blocks of VALUE_BLOCK positions, as whole steps. */
function attendInt8(a: Arithmetic, { n, x, list }: Given): Near[] {
  const [query, key, value] = [x('query'), x('key'), x('value')]
  const [keyScales, valueScales] = [x('key_scales'), x('value_scales')]
  const y = range(n.T * n.H * n.K, () => zero)
  for (const h of list('heads') ?? range(n.H, (i) => i)) {
    const start = keyHeadOf(list('key_heads'), h, n.G, n.H) * n.C
    for (let t = 0; t < n.T; t++) {
      const at = (t * n.H + h) * n.K
      const end = n.S - n.T + t + 1
      const first = Math.max(0, end - n.W)
      const by = a.exactly(Math.fround(n.scale))
      const { q, step } = inSteps(
        a,
        range(n.K, (k) => a.mul(query[at + k], by)),
      )
      const scores = range(end - first, (s) => {
        const place = start + first + s
        const score = a.mul(a.mul(step, keyScales[place]), wholeDot(a, q, key, place * n.K))
        return n.cap > 0 ? a.capped(score, n.cap) : score
      })
      const { powers, total } = exponentials(a, scores)
      const sums = range(n.K, (): Near[] => [])
      for (let from = first, next = 0; from < end; from = next) {
        next = Math.min(from - (from % VALUE_BLOCK) + VALUE_BLOCK, end)
        const block = inSteps(
          a,
          range(next - from, (s) => a.mul(powers[from - first + s], valueScales[start + from + s])),
        )
        for (const [k, own] of sums.entries())
          own.push(a.mul(block.step, wholeDot(a, block.q, value, (start + from) * n.K + k, n.K)))
      }
      for (const [k, own] of sums.entries())
        y[at + k] = a.div(
          a.sum(own.length, (i) => own[i], false),
          total,
        )
    }
  }
  return y
}

/** max(gate, 0) up, silu(gate) up, or gelu(gate) up. */
export function gated(a: Arithmetic, activation: Activation, gate: Nears, up: Nears): Near[] {
  const smooth = activation === 'silu' ? silu : gelu
  return gate.map((z, i) => (activation === 'relu' ? opened(a, z, up[i]) : a.mul(smooth(a, z), up[i])))
}

/** What passes where x > 0; a kernel that rounds x to 0 passes nothing. */
const passed = (x: Near, y: Near): Near =>
  x.v > 0 ? (x.v > x.e ? y : { v: y.v, e: y.e + Math.abs(y.v) }) : zero

/** 1 + e^-z; where that overflows a kernel may have a 0 or a NaN. */
const denominator = (a: Arithmetic, z: Near): Near => a.add(a.exactly(1), a.exp(a.neg(z)))
const silu = (a: Arithmetic, z: Near): Near => a.div(z, denominator(a, z))
/** (a z) (1 + b z^2), the exponent of gelu; and a (1 + 3 b z^2), its slope. */
const geluExponent = (a: Arithmetic, z: Near): Near => a.mul(a.mul(a.exactly(GELU), z), stretched(a, z, 1))
const geluSlope = (a: Arithmetic, z: Near): Near => a.mul(a.exactly(GELU), stretched(a, z, 3))
const stretched = (a: Arithmetic, z: Near, times: number): Near =>
  a.add(a.exactly(1), a.mul(a.exactly(Math.fround(times * 0.044715)), a.mul(z, z)))
const GELU = Math.fround(1.5957691216057308)
const gelu = (a: Arithmetic, z: Near): Near => a.div(z, denominator(a, geluExponent(a, z)))
const opened = (a: Arithmetic, gate: Near, x: Near): Near =>
  a.mayBePositive(gate) ? a.mul(a.positive(gate), x) : zero

/** How much a target of bce counts. */
const weigh = (a: Arithmetic, y: Near, floor: number): Near =>
  a.add(a.mul(y, a.sub(a.exactly(1), a.exactly(Math.fround(floor)))), a.exactly(Math.fround(floor)))

/** What an analysis reads: arrays as the class stores them, lists, sizes and scalars. */
interface Given {
  readonly n: Readonly<Record<string, number>>
  /** Zeros for an absent array. */
  x(name: string): Nears
  has(name: string): boolean
  list(name: string): Int32Array | null
  bytes(name: string): Uint8Array
}

type Analysis = (a: Arithmetic, given: Given) => Record<string, Near[]>
/** Arrays and scalars in the order of the definition, and the formula. */
const of = (params: string, run: Analysis): { params: string; run: Analysis } => ({ params, run })

const linear = of('y x weight bias rows', (a, { n, x, has, list }) => ({
  y: product(a, x('x'), x('weight'), has('bias') ? x('bias') : null, [n.T, n.O, n.I], { rows: list('rows') }),
}))
const linearInputMajor = of('y x weight bias inputs', (a, { n, x, has, list }) => ({
  y: product(a, x('x'), x('weight'), has('bias') ? x('bias') : null, [n.T, n.O, n.I], {
    inputMajor: true,
    inputs: list('inputs'),
  }),
}))

/** Gradients of a norm, which may take off the mean and have a bias. */
const normBackward =
  (isCentred: boolean): Analysis =>
  (a, { n, x, has }) => {
    const [grad, weight, count] = [x('y_grad'), x('weight'), a.exactly(n.D)]
    const normals: Near[] = []
    const x_grad = rowsOf(x('x'), n.T, n.D, (row, t) => {
      const { n: own, scale } = (isCentred ? normal : rmsNormal)(a, row, n.D, n.epsilon)
      normals.push(...own)
      const g = row.map((_, d) => a.mul(grad[t * n.D + d], weight[d]))
      const total = a.sum(n.D, (d) => g[d])
      const mean = a.div(a.dot(n.D, g, 0, own, 0), count)
      return g.map((value, d) => {
        const off = isCentred ? a.sub(value, a.div(total, count)) : value
        return a.mul(scale, a.sub(off, a.mul(own[d], mean)))
      })
    })
    const summed = (name: string, term: (at: number) => Near): Near[] =>
      x(name).map((value, d) => a.sum(n.T + 1, (t) => (t === 0 ? value : term((t - 1) * n.D + d)), false))
    return {
      x_grad,
      ...(has('weight_grad') && { weight_grad: summed('weight_grad', (at) => a.mul(grad[at], normals[at])) }),
      ...(has('bias_grad') && { bias_grad: summed('bias_grad', (at) => grad[at]) }),
    }
  }

const gate = (activation: Activation) =>
  of('y gate up', (a, { x }) => ({ y: gated(a, activation, x('gate'), x('up')) }))

/** Gradients of z / (1 + e^-u(z)) up. @param inner u with its derivative, where it is not z */
const gateBackward = (
  smooth: (a: Arithmetic, z: Near) => Near,
  inner?: { readonly u: typeof smooth; readonly slope: typeof smooth },
) =>
  of('gate_grad up_grad y_grad gate up', (a, { x }) => {
    const [grad, gates, up, one] = [x('y_grad'), x('gate'), x('up'), a.exactly(1)]
    const derivative = (z: Near): Near => {
      const s = a.div(one, denominator(a, inner ? inner.u(a, z) : z))
      const rest = a.mul(z, a.sub(one, s))
      return a.mul(s, a.add(one, inner ? a.mul(rest, inner.slope(a, z)) : rest))
    }
    return {
      gate_grad: gates.map((z, i) => a.mul(a.mul(grad[i], up[i]), derivative(z))),
      up_grad: gates.map((z, i) => a.mul(grad[i], smooth(a, z))),
    }
  })

const embedding = of('y table ids', (_a, { n, x, list }) => {
  const table = x('table')
  return { y: [...(list('ids') ?? [])].flatMap((id) => table.slice(id * n.D, (id + 1) * n.D)) }
})

/** By the name of the kernel. */
const analyses: Partial<Record<KernelName, { params: string; run: Analysis }>> = {
  linear,
  linear_bf16: linear,
  linear_f16: linear,
  linear_input_major: linearInputMajor,
  linear_input_major_bf16: linearInputMajor,
  linear_input_major_f16: linearInputMajor,
  linear_backward_weight: of('weight_grad y_grad x rows', (a, { n, x, list }) => {
    const [before, grad, from, rows] = [x('weight_grad'), x('y_grad'), x('x'), list('rows')]
    return {
      weight_grad: before.map((value, at) => {
        const [o, i] = [Math.floor(at / n.I), at % n.I]
        if (rows && !rows.includes(o)) return value
        const terms = range(n.T, (t) => a.mul(grad[t * n.O + o], from[t * n.I + i]))
        return a.sum(n.T + 1, (t) => (t === 0 ? value : terms[t - 1]), false)
      }),
    }
  }),
  linear_backward_bias: of('bias_grad y_grad rows', (a, { n, x, list }) => {
    const [before, grad, rows] = [x('bias_grad'), x('y_grad'), list('rows')]
    return {
      bias_grad: before.map((value, o) =>
        rows && !rows.includes(o)
          ? value
          : a.sum(n.T + 1, (t) => (t === 0 ? value : grad[(t - 1) * n.O + o]), false),
      ),
    }
  }),
  linear_i8: of('y x weight scales bias rows', (a, { n, x, has, list }) => {
    const [weight, scales, bias, rows] = [x('weight'), x('scales'), x('bias'), list('rows')]
    return {
      y: rowsOf(x('x'), n.T, n.I, (row) => {
        const { q, step } = inSteps(a, row)
        return range(n.O, (o) => {
          if (rows && !rows.includes(o)) return zero
          const y = a.mul(a.mul(step, scales[o]), wholeDot(a, q, weight, o * n.I))
          return has('bias') ? a.add(y, bias[o]) : y
        })
      }),
    }
  }),
  linear_input_major_i8: of('y x weight scales bias inputs', (a, { n, x, has, list }) => {
    const [weight, scales, bias] = [x('weight'), x('scales'), x('bias')]
    const inputs = [...(list('inputs') ?? range(n.I, (i) => i))]
    const terms = inputs.flatMap((i) => weight.slice(i * n.O, (i + 1) * n.O))
    return {
      y: rowsOf(x('x'), n.T, n.I, (row) => {
        const { q, step } = inSteps(
          a,
          inputs.map((i) => a.mul(row[i], scales[i])),
        )
        return range(n.O, (o) => {
          const y = a.mul(step, wholeDot(a, q, terms, o, n.O))
          return has('bias') ? a.add(y, bias[o]) : y
        })
      }),
    }
  }),
  linear_i4: of('y x weight bias rows', (a, { n, x, has, list, bytes }) => {
    const [bias, rows] = [x('bias'), list('rows')]
    const open = range(n.O, (o) => openRow(bytes('weight'), o, n.B))
    return {
      y: rowsOf(x('x'), n.T, n.I, (row) =>
        open.map(({ numbers, scales, minima }, o) => {
          if (rows && !rows.includes(o)) return zero
          const terms = range(n.B, (b) => {
            const own = row.slice(b * BLOCK, (b + 1) * BLOCK)
            const weights = own.map((_, i) => a.exactly(numbers[b * BLOCK + i]))
            return blockTerm(a, own, weights, a.exactly(scales[b]), a.exactly(minima[b]))
          })
          return ofBlocks(a, terms, has('bias') ? bias[o] : null)
        }),
      ),
    }
  }),
  linear_input_major_i4: of('y x weight scales blocks bias inputs', (a, { n, x, has, list, bytes }) => {
    const [scales, blocks, bias] = [x('scales'), list('blocks') as Int32Array, x('bias')]
    const members = range(n.B, (): number[] => [])
    for (const i of list('inputs') ?? range(n.I, (i) => i)) members[blocks[i]].push(i)
    return {
      y: rowsOf(x('x'), n.T, n.I, (row) =>
        range(n.O, (o) => {
          const terms = members.flatMap((own, b) => {
            if (own.length === 0) return []
            const weights = own.map((i) => a.exactly(unitNumber(bytes('weight'), o, i, n.S)))
            const at = scaleAt(o, b, n.B)
            const chosen = own.map((i) => row[i])
            return [blockTerm(a, chosen, weights, scales[at], scales[at + TILE])]
          })
          return ofBlocks(a, terms, has('bias') ? bias[o] : null)
        }),
      ),
    }
  }),
  embedding,
  embedding_bf16: embedding,
  embedding_f16: embedding,
  embedding_i8: of('y table scales ids', (a, { n, x, list }) => {
    const [table, scales] = [x('table'), x('scales')]
    const rowOf = (id: number): Near[] =>
      table.slice(id * n.D, (id + 1) * n.D).map((value) => a.mul(scales[id], value))
    return { y: [...(list('ids') ?? [])].flatMap(rowOf) }
  }),
  embedding_backward: of('table_grad y_grad ids', (a, { n, x, list }) => {
    const [grad, ids] = [x('y_grad'), [...(list('ids') ?? [])]]
    return {
      table_grad: x('table_grad').map((before, at) => {
        const [id, d] = [Math.floor(at / n.D), at % n.D]
        const terms = [before, ...ids.flatMap((own, t) => (own === id ? [grad[t * n.D + d]] : []))]
        return terms.length === 1 ? before : a.sum(terms.length, (i) => terms[i], false)
      }),
    }
  }),
  layer_norm: of('y x weight bias epsilon', (a, { n, x }) => ({
    y: layerNorm(a, x('x'), x('weight'), x('bias'), n.epsilon, n.T, n.D),
  })),
  layer_norm_backward: of('x_grad weight_grad bias_grad y_grad x weight epsilon', normBackward(true)),
  rms_norm: of('y x weight epsilon', (a, { n, x }) => ({
    y: rmsNorm(a, x('x'), x('weight'), n.epsilon, n.T, n.D),
  })),
  rms_norm_backward: of('x_grad weight_grad y_grad x weight epsilon', normBackward(false)),
  rotary: of('y x table', (a, { n, x }) => ({ y: rotate(a, x('x'), x('table'), n.H, n.R, n.K) })),
  rotary_backward: of('x_grad y_grad table', (a, { n, x }) => {
    const M = Math.floor(n.R / 2)
    const back = x('table').map((value, i) => (i % n.R < M ? value : a.neg(value)))
    return { x_grad: rotate(a, x('y_grad'), back, n.H, n.R, n.K) }
  }),
  cache_append: of('cache x heads', (_a, { n, x, list }) => {
    const [cache, from, heads] = [x('cache').slice(), x('x'), list('heads')]
    for (const h of heads ?? range(n.H, (i) => i))
      for (let t = 0; t < n.T; t++)
        for (let k = 0; k < n.K; k++) cache[(h * n.C + n.P + t) * n.K + k] = from[(t * n.H + h) * n.K + k]
    return { cache }
  }),
  attention: of('y query key value heads key_heads scale cap?', (a, { n, x, list }) => ({
    y: attend(
      a,
      x('query'),
      x('key'),
      x('value'),
      n as unknown as Attention,
      list('heads'),
      list('key_heads'),
    ),
  })),
  attention_i8: of('y query key key_scales value value_scales heads key_heads scale cap', (a, given) => ({
    y: attendInt8(a, given),
  })),
  relu: of('y x', (a, { x }) => ({ y: x('x').map((value) => a.positive(value)) })),
  relu_backward: of('x_grad y_grad x', (_, { x }) => {
    const from = x('x')
    return { x_grad: x('y_grad').map((grad, i) => passed(from[i], grad)) }
  }),
  relu_gate: gate('relu'),
  relu_gate_backward: of('gate_grad up_grad y_grad gate up', (a, { x }) => {
    const [grad, gate, up] = [x('y_grad'), x('gate'), x('up')]
    return {
      gate_grad: gate.map((z, i) => passed(z, a.mul(grad[i], up[i]))),
      up_grad: gate.map((z, i) => passed(z, a.mul(grad[i], z))),
    }
  }),
  silu_gate: gate('silu'),
  silu_gate_backward: gateBackward(silu),
  gelu_tanh_gate: gate('gelu_tanh'),
  gelu_tanh_gate_backward: gateBackward(gelu, { u: geluExponent, slope: geluSlope }),
  soft_cap: of('y x cap', (a, { n, x }) => ({
    y: x('x').map((value) => (n.cap > 0 ? a.capped(value, n.cap) : value)),
  })),
  soft_cap_backward: of('x_grad y_grad x cap', (a, { n, x }) => {
    const from = x('x')
    const slope = (value: Near): Near => {
      if (!(n.cap > 0)) return a.exactly(1)
      const u = a.div(a.capped(value, n.cap), a.exactly(Math.fround(n.cap)))
      return a.sub(a.exactly(1), a.mul(u, u))
    }
    return { x_grad: x('y_grad').map((grad, i) => a.mul(grad, slope(from[i]))) }
  }),
  add: of('y a b', (a, { x }) => {
    const other = x('b')
    return { y: x('a').map((value, i) => a.add(value, other[i])) }
  }),
  mask_units: of('y x mask', (a, { n, x }) => {
    const mask = x('mask')
    return { y: x('x').map((value, i) => a.mul(value, mask[Math.floor(i / n.K) % n.U])) }
  }),
  exp: of('y x', (a, { x }) => ({ y: x('x').map((value) => a.exp(value)) })),
  log: of('y x', (a, { x }) => ({ y: x('x').map((value) => a.log(value)) })),
  softmax: of('y x', (a, { n, x }) => ({ y: rowsOf(x('x'), n.T, n.V, (row) => softmax(a, row)) })),
  softmax_backward: of('x_grad y_grad y', (a, { n, x }) => {
    const grad = x('y_grad')
    return {
      x_grad: rowsOf(x('y'), n.T, n.V, (row, t) => {
        const mean = a.dot(n.V, grad, t * n.V, row, 0)
        return row.map((y, i) => a.mul(y, a.sub(grad[t * n.V + i], mean)))
      }),
    }
  }),
  log_sum_exp: of('y x', (a, { n, x }) => ({
    y: rowsOf(x('x'), n.T, n.V, (row) => {
      const { most, total } = exponentials(a, row)
      return [a.add(most, a.log(total))]
    }),
  })),
  log_sum_exp_backward: of('x_grad y_grad x y', (a, { n, x }) => {
    const [grad, y] = [x('y_grad'), x('y')]
    return {
      x_grad: rowsOf(x('x'), n.T, n.V, (row, t) =>
        row.map((value) => a.mul(grad[t], a.exp(a.sub(value, y[t])))),
      ),
    }
  }),
  cross_entropy: of('nll logits labels', (a, { n, x, list }) => {
    const labels = list('labels') as Int32Array
    return {
      nll: rowsOf(x('logits'), n.T, n.V, (row, t) => {
        if (labels[t] === NOT_SCORED) return [zero]
        const { most, total } = exponentials(a, row)
        const terms = [a.log(total), most, a.neg(row[labels[t]])]
        return [a.sum(3, (i) => terms[i], false)]
      }),
    }
  }),
  cross_entropy_backward: of('logits_grad nll_grad logits labels', (a, { n, x, list }) => {
    const [labels, grad] = [list('labels') as Int32Array, x('nll_grad')]
    return {
      logits_grad: rowsOf(x('logits'), n.T, n.V, (row, t) =>
        labels[t] === NOT_SCORED
          ? row.map(() => zero)
          : softmax(a, row).map((p, v) => a.mul(grad[t], v === labels[t] ? a.sub(p, a.exactly(1)) : p)),
      ),
    }
  }),
  mse: of('loss prediction target', (a, { n, x }) => {
    const target = x('target')
    const off = x('prediction').map((value, i) => a.sub(value, target[i]))
    return { loss: [a.div(a.dot(n.N, off, 0, off, 0), a.exactly(n.N))] }
  }),
  mse_backward: of('prediction_grad loss_grad prediction target', (a, { n, x }) => {
    const target = x('target')
    const factor = a.div(a.mul(a.exactly(2), x('loss_grad')[0]), a.exactly(n.N))
    return { prediction_grad: x('prediction').map((value, i) => a.mul(factor, a.sub(value, target[i]))) }
  }),
  bce: of('loss logits target negative_weight', (a, { n, x }) => {
    const target = x('target')
    const costs = x('logits').map((z, i) => {
      const log = a.log(a.add(a.exactly(1), a.exp(a.neg(a.abs(z)))))
      const terms = [a.positive(z), a.neg(a.mul(z, target[i])), log]
      return a.sum(3, (term) => terms[term], false)
    })
    const weights = target.map((y) => weigh(a, y, n.negative_weight))
    return { loss: [a.div(a.dot(n.N, weights, 0, costs, 0), a.exactly(n.N))] }
  }),
  bce_backward: of('logits_grad loss_grad logits target negative_weight', (a, { n, x }) => {
    const [target, factor] = [x('target'), a.div(x('loss_grad')[0], a.exactly(n.N))]
    return {
      logits_grad: x('logits').map((z, i) => {
        const small = a.exp(a.neg(a.abs(z)))
        const p = a.div(z.v > 0 ? a.exactly(1) : small, a.add(a.exactly(1), small))
        return a.mul(factor, a.mul(weigh(a, target[i], n.negative_weight), a.sub(p, target[i])))
      }),
    }
  }),
  adamw_step: of(
    'weight mean square grad rate beta1 beta2 epsilon decay correction1 correction2',
    (a, { n, x }) => {
      const known = (name: string): Near => a.exactly(Math.fround(n[name]))
      const one = a.exactly(1)
      const blend = (share: Near, old: Near, fresh: Near): Near =>
        a.add(a.mul(share, old), a.mul(a.sub(one, share), fresh))
      const [grad, old] = [x('grad'), x('weight')]
      const mean = x('mean').map((m, i) => blend(known('beta1'), m, grad[i]))
      const square = x('square').map((v, i) => blend(known('beta2'), v, a.mul(grad[i], grad[i])))
      const keep = a.sub(one, a.mul(known('rate'), known('decay')))
      const weight = old.map((w, i) => {
        const spread = a.add(a.sqrt(a.div(square[i], known('correction2'))), known('epsilon'))
        const step = a.div(a.mul(known('rate'), a.div(mean[i], known('correction1'))), spread)
        return a.sub(a.mul(w, keep), step)
      })
      return { weight, mean, square }
    },
  ),
  min_max: of('y x', (a, { n, x }) => ({
    y: rowsOf(x('x'), n.T, n.D, (row) => {
      const most = a.largest(n.D, (i) => row[i])
      const least = a.neg(a.largest(n.D, (i) => a.neg(row[i])))
      const width = a.sub(most, least)
      return row.map((value) =>
        width.v > 0 ? a.div(a.sub(value, least), width) : { v: 0, e: width.e > 0 ? Infinity : 0 },
      )
    }),
  })),
  sum: of('total x', (a, { n, x }) => ({
    total: [
      a.add(
        x('total')[0],
        a.sum(n.N, (i) => x('x')[i]),
      ),
    ],
  })),
  sum_squares: of('total x', (a, { n, x }) => ({
    total: [a.add(x('total')[0], a.dot(n.N, x('x'), 0, x('x'), 0))],
  })),
  transpose: of('y x', (_a, { n, x }) => {
    const from = x('x')
    return { y: from.map((_, at) => from[(at % n.O) * n.I + Math.floor(at / n.O)]) }
  }),
}

/** Whether the analysis of a kernel is of the parameters that it has. */
function analysisOf(name: KernelName): Analysis | null {
  const found = analyses[name]
  if (!found) return null
  const known = found.params.split(' ')
  const own = kernels[name].params.flatMap((param) => (param.kind === 'size' ? [] : [param.name]))
  const needed = known.filter((param) => !param.endsWith('?'))
  const isKnown = own.every((param) => known.includes(param) || known.includes(`${param}?`))
  return isKnown && needed.every((param) => own.includes(param)) ? found.run : null
}

/** How far each number of a call may be off in a class, by output; null without a formula. */
export function boundsOfCall(
  name: KernelName,
  values: Values,
  sizes: Sizes,
  results: Readonly<Record<string, Numbers>>,
  className: ClassName,
): Record<string, Float64Array> | null {
  const run = analysisOf(name)
  if (run === null) return null
  const a = new Arithmetic(className)
  const params = new Map(arraysOf(kernels[name]).map((param) => [param.name, param]))
  const made = new Map<string, Nears>()
  const make = (array: string): Near[] => {
    const numbers = values[array] as Numbers
    const { dtype } = params.get(array) as { dtype: string }
    if (dtype === 'bf16') return Array.from(widenBf16(numbers as Uint16Array), (v) => a.flushed({ v, e: 0 }))
    if (dtype === 'f16') return Array.from(widenF16(numbers as Uint16Array), (v) => a.flushed({ v, e: 0 }))
    if (dtype === 'i8') return Array.from(numbers, (v) => a.exactly(v))
    return Array.from(numbers, (v) => a.stored({ v, e: 0 }))
  }
  const outputs = run(a, {
    n: { ...(values as Record<string, number>), ...sizes },
    x: (array) => {
      const known = made.get(array) ?? (values[array] ? make(array) : [])
      made.set(array, known)
      return known
    },
    has: (array) => Boolean(values[array]),
    list: (array) => (values[array] as Int32Array | null) ?? null,
    bytes: (array) => values[array] as Uint8Array,
  })
  return Object.fromEntries(
    Object.entries(outputs).map(([key, nears]) => [key, a.boundsOf(results[key], nears)]),
  )
}
