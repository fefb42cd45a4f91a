/**
 * The cases of the operations: those of `parity export-ops --small`, each size around the tiles of kernels, and sizes as kernels
 * with limits have them, on numbers that are exact in 16 bits.
 */
import { kernels, kernelNames, type KernelName } from '../../src/ops/catalog.ts'
import type { ArrayParam, Kernel, Numbers, Sizes } from '../../src/ops/op.ts'
import { storedAs, withOneNaN } from '../../src/parity/op_files.ts'
import { casesOf } from '../../src/parity/op_suite.ts'
import { crc32 } from '../../src/platform/platform.ts'
import { allowancesOf, evaluate } from '../../src/testing/op_agreement.ts'
import { sizesOf, type Values } from '../../src/testing/op_call.ts'
import { arraysOf, fitSizes, lettersOf, limitsOf, makeValues, shapeOf } from '../../src/testing/op_case.ts'
import { Data, type DataKind } from '../../src/testing/seeded_data.ts'
import { boundsOfCall } from './analyses.ts'
import { classes, type ClassName } from './arithmetic.ts'
import type { Expected, KitCase, KitOp } from './case.ts'

/** Around tiles of 32, 64, 128 and 256, and past them by an odd number. */
const pastTiles = [127, 129, 200, 257, 331]
/** Sizes of the other letters. */
const besides = [2, 3, 2]
const kinds: readonly DataKind[] = ['plain', 'steep', 'ties', 'sparse']
/** Terms of a sum past which kernels of whole numbers round to fewer levels, or have a second block of their own. */
const longSums: Partial<Record<Kernel['storage'], number>> = { i8: 1200, i4: 2100 }
const kindsOfInt8 = ['sparse', 'sparse', 'sparse', 'plain', 'equal'] as const
const kindsOfInt4 = ['sparse', 'equal'] as const
/** As real kernels have them: heads of 64 to 128, rows of multiples of 8, groups that divide. */
const served: Sizes = {
  T: 2,
  P: 6,
  S: 8,
  C: 8,
  H: 4,
  G: 2,
  R: 2,
  D: 64,
  I: 64,
  O: 64,
  V: 64,
  U: 4,
  B: 2,
  N: 256,
  W: 8,
}
/** The other numbers of these sizes, and several tiles of 32 to 256 in what is summed. */
const servedLong: Sizes = { ...served, D: 512, V: 512, N: 512, I: 512, T: 2, O: 16 }
/** Of products: tiles of 16 in each direction. */
const servedTiles: readonly Sizes[] = [
  { ...served, T: 16, O: 16, I: 512 },
  { ...served, T: 16, O: 128, I: 64 },
  { ...served, T: 128, O: 16, I: 64 },
]
const headSizes = [64, 80, 96, 128]
/**
 * Attention as models have it: scores of ordinary size, whose largest is in the last of several blocks of keys; windows that begin
 * inside of blocks, groups, caps.
 */
const texts: readonly (Sizes & { readonly cap: number; readonly late: number })[] = [
  { T: 1, S: 200, C: 208, W: 200, H: 4, G: 1, K: 64, cap: 0, late: 12 },
  { T: 66, S: 130, C: 130, W: 65, H: 1, G: 1, K: 64, cap: 2, late: 12 },
  { T: 3, S: 72, C: 72, W: 64, H: 4, G: 2, K: 64, cap: 0, late: 12 },
  { T: 1, S: 130, C: 130, W: 130, H: 2, G: 1, K: 128, cap: 0, late: 17 },
  { T: 2, S: 40, C: 40, W: 33, H: 4, G: 2, K: 128, cap: 2, late: 17 },
  // A score whose exponential overflows.
  { T: 2, S: 9, C: 9, W: 9, H: 4, G: 2, K: 64, cap: 0, late: 512 },
  { T: 2, S: 9, C: 9, W: 9, H: 4, G: 2, K: 128, cap: 0, late: 512 },
]
/** With lists of no head and of all. */
const textsOfLists = [0, 4].flatMap((R) =>
  [64, 128].map((K) => ({ T: 2, S: 9, C: 9, W: 9, H: 4, G: 2, K, R, cap: 0, late: 12 })),
)

/** Every operation of the catalogue. */
export function* opsOfCatalogue(names: readonly KernelName[] = kernelNames): Generator<KitOp> {
  for (const name of names) {
    const row = kernels[name]
    yield {
      name,
      formula: row.formula,
      arrays: arraysOf(row).flatMap(({ name, role }) => (role === 'out' ? [] : [name])),
      cases: [...callsOf(name)].map((values) => caseOf(name, values)),
    }
  }
}

/** The arguments of every call. */
export function* callsOf(name: KernelName): Generator<Values> {
  for (const { values } of casesOf(name, { seed: 1, small: true })) yield values
  const row = kernels[name]
  let index = 0
  const none: ReadonlySet<string> = new Set()
  const lists = new Set(['heads', 'key_heads'])
  const make = (
    wanted: Sizes,
    kind: DataKind,
    of16Bits: boolean,
    pinned?: string,
    left?: ReadonlySet<string>,
  ): Values => {
    const data = new Data(crc32(new TextEncoder().encode(`kit ${name} ${index++}`)))
    const absent =
      left ??
      new Set(arraysOf(row).flatMap((param) => (param.optional && data.chance(0.5) ? [param.name] : [])))
    const values = makeValues(name, fitSizes(row, wanted, pinned), data, kind, absent)
    return of16Bits ? roundedTo16Bits(values) : values
  }
  const letters = lettersOf(row)
  const limits = new Set(limitsOf(row))
  const isCopy = /^(copy|cache)/.test(row.op)
  const isSquare = (letter: string): boolean =>
    arraysOf(row).some(({ shape }) => shape.filter((other) => other === letter).length > 1)
  for (const [l, letter] of letters.entries())
    for (const [i, size] of pastTiles.entries()) {
      // Where many letters have their turn, each has three of these sizes; copies, of which nothing depends on a sum, one; square
      // matrices two.
      if ((isCopy || letters.length > 4) && (l + i) % 5 > (isCopy ? 0 : 2)) continue
      if (isSquare(letter) && i > 1) continue
      const besideOf = (other: string, o: number): number =>
        limits.has(other) && (l + i) % 2 === 0 ? 331 : besides[(o + i) % besides.length]
      const wanted = Object.fromEntries(letters.map((other, o) => [other, besideOf(other, o)]))
      const kind = kinds[(l + i) % kinds.length]
      yield make({ ...wanted, [letter]: size }, kind, kind === 'plain' && i % 2 === 0, letter)
    }
  // A list of no unit, of one and of all.
  for (const { below, shape } of arraysOf(row).filter(({ holds }) => holds === 'ascending'))
    for (const count of [0, 1, 5]) {
      const sizeOf = (letter: string): number => (letter === shape[0] ? count : letter === below ? 5 : 3)
      yield make(
        Object.fromEntries(letters.map((letter) => [letter, sizeOf(letter)])),
        'plain',
        false,
        shape[0],
        none,
      )
    }
  const long = longSums[row.storage]
  if (long !== undefined && letters.includes('I') && letters.includes('O')) {
    const chosenOf = arraysOf(row).find(({ holds }) => holds === 'ascending')?.below
    const sizeOf = (letter: string): number =>
      letter === 'I' || (letter === 'R' && chosenOf === 'I') ? long : 5
    for (const kind of row.storage === 'i8' ? kindsOfInt8 : kindsOfInt4)
      yield make(Object.fromEntries(letters.map((letter) => [letter, sizeOf(letter)])), kind, false, 'I')
  }
  if (row.op === 'narrow')
    for (const bit of [0x8000, 0x1000]) yield tiesOf(make({ N: 64 }, 'plain', false), bit)
  // Where R numbers of K are rotated, all are.
  const isWhole = row.params.some(
    (param) => param.kind === 'size' && param.name === 'K' && param.least === 'R',
  )
  const isProduct =
    ['T', 'O', 'I'].every((letter) => letters.includes(letter)) &&
    row.params.some(({ name }) => name === 'weight')
  const sizes: readonly Sizes[] = letters.includes('K')
    ? headSizes.slice(isCopy ? 2 : 0).map((K) => ({ ...served, K, ...(isWhole && { R: K }) }))
    : isProduct
      ? [served, ...(row.storage === 'f32' ? servedTiles : servedTiles.slice(0, 1))]
      : [served, { ...servedLong, ...(letters.includes('D') && { V: 9 }) }]
  for (const [i, wanted] of sizes.entries()) {
    const fitted = Object.fromEntries(letters.map((letter) => [letter, wanted[letter] ?? 8]))
    const values = make(fitted, (['plain', 'steep', 'sparse'] as const)[i % 3], i % 3 === 0)
    // Heads are scaled as models scale them.
    yield 'scale' in values ? { ...values, scale: Math.fround((wanted.K ?? 1) ** -0.5) } : values
  }
  if (letters.includes('K') && letters.includes('S')) {
    for (const text of texts)
      yield withLateMaximum(make({ ...served, R: 1, ...text }, 'plain', true, undefined, lists), text)
    for (const text of textsOfLists)
      yield withLateMaximum(make({ ...served, ...text }, 'plain', true, 'R', none), text)
  }
  // The largest number of a row, by which all are shifted, is past a tile.
  const logits = arraysOf(row).find(({ name, shape }) => /^(x|logits)$/.test(name) && shape.at(-1) === 'V')
  if (logits) {
    const values = make({ T: 3, V: 257 }, 'plain', true)
    const numbers = (values[logits.name] as Float32Array).map((x, i) => (i % 257 === 256 ? 200 : x))
    yield { ...values, [logits.name]: numbers }
  }
}

/**
 * Queries and keys have one large channel, as those of trained models do, and it alone makes the score of the first new position the
 * largest one: sums of many small terms would leave kernels of 16 bits too much room.
 */
function withLateMaximum(values: Values, { T, S, C, G, K, cap, late }: Sizes): Values {
  const isInt8 = values.key instanceof Int8Array
  const key = (values.key as Float32Array | Int8Array).map((x, i) =>
    i % K === 0 ? x : isInt8 ? Math.trunc(x / 4) : x / 4,
  )
  const scales = new Float32Array(G * C).fill(1 / 64)
  for (let g = 0; g < G; g++) {
    const place = g * C + S - T
    key.fill(0, place * K, (place + 1) * K)
    key[place * K] = isInt8 ? 127 : late
    scales[place] = late / 127
  }
  return {
    ...values,
    query: (values.query as Float32Array).map((x, i) => (i % K === 0 ? 4 : x / 4)),
    key,
    scale: Math.fround(K ** -0.5),
    cap,
    ...(isInt8 && { key_scales: scales, value_scales: new Float32Array(G * C).fill(1 / 64) }),
  }
}

/** Numbers that are exact in bf16 and in f16: multiples of 2^-5 of at most 7 bits. */
function roundedTo16Bits(values: Values): Values {
  return Object.fromEntries(
    Object.entries(values).map(([name, value]) => [
      name,
      value instanceof Float32Array
        ? value.map((x) => Math.max(-3.96875, Math.min(3.96875, Math.round(x * 32) / 32)))
        : value,
    ]),
  )
}

/** Numbers halfway between two of 16 bits: all bits below this one are 0. */
function tiesOf(values: Values, bit: number): Values {
  const words = new Uint32Array((values.x as Float32Array).slice().buffer)
  return { ...values, x: new Float32Array(words.map((word) => (word & -(2 * bit)) | bit).buffer) }
}

function caseOf(name: KernelName, values: Values): KitCase {
  const row = kernels[name]
  const sizes = sizesOf(row, values)
  const results = evaluate(name, values)
  const inputs = new Map<string, KitCase['inputs'] extends ReadonlyMap<string, infer T> ? T : never>()
  const numbers: Record<string, number> = {}
  for (const param of row.params) {
    const value = values[param.name] ?? null
    if (param.kind !== 'array') numbers[param.name] = value as number
    else if (value !== null) inputs.set(param.name, tensorOf(param, value as Numbers, sizes))
  }
  const allowed = Object.fromEntries(
    classes.map((name_) => [name_, boundsOf(name, row, values, results, name_)]),
  )
  const outputs = arraysOf(row).flatMap((param): Expected[] => {
    const result = results[param.name]
    if (!result) return []
    const bounds = Object.fromEntries(
      classes.flatMap((className): [ClassName, ArrayLike<number> | null][] => {
        // Whole numbers owe bits.
        if (param.dtype !== 'f32') return [[className, null]]
        const found = allowed[className]
        return found === undefined ? [] : [[className, found[param.name] ?? null]]
      }),
    )
    return [{ name: param.name, tensor: tensorOf(param, result, sizes), bounds }]
  })
  return { numbers, inputs, outputs }
}

function tensorOf(param: ArrayParam, numbers: Numbers, sizes: Sizes) {
  return { dtype: storedAs[param.dtype], shape: shapeOf(param, sizes), data: withOneNaN(numbers) }
}

/** By the formula of the kernel, else by its contract; undefined where neither says anything. */
function boundsOf(
  name: KernelName,
  row: Kernel,
  values: Values,
  results: Readonly<Record<string, Numbers>>,
  className: ClassName,
): Readonly<Record<string, ArrayLike<number>>> | undefined {
  const bounds = boundsOfCall(name, values, sizesOf(row, values), results, className)
  if (bounds !== null) return bounds
  if (className === 'bf16' || className === 'f16') return undefined
  const owed = className === 'fused' || row.fast === null ? 'relaxed' : 'fast'
  return allowancesOf(name, values, results, owed)
}
