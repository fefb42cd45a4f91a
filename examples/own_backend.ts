/**
 * A backend of one's own, held to the definitions by files: it reads the calls that `shadowllm parity export-ops` wrote,
 * computes them its own way, and writes what came out. Any language will do; spec/parity.md specifies the files.
 *
 *   node scripts/node.mjs examples/own_backend.ts EXPECTED ACTUAL
 *
 * It knows `relu` and `linear`, and adds in the order that `linear` is defined by: sixteen lanes, then the tree over them.
 */
import { mkdir, readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { openSafetensors, readIntegers, writeSafetensors, type TensorToWrite } from 'shadowllm/io/safetensors'

/** The arrays of a call by name, absent ones null, and its sizes. */
interface Call {
  readonly array: (name: string) => Promise<Float32Array>
  readonly optional: (name: string) => Promise<Float32Array | null>
  readonly list: (name: string) => Promise<Int32Array | null>
  readonly size: (name: string) => number
}

interface Answer {
  readonly y: Float32Array
  readonly shape: readonly number[]
}

/** y = x where x is above 0, else 0: also where it is NaN. */
async function relu({ array, size }: Call): Promise<Answer> {
  const x = await array('x')
  return { y: x.map((value) => (value > 0 ? value : 0)), shape: [size('N')] }
}

/** y[t, o] = <x[t], weight[o]> + bias[o] for chosen rows o, else 0. */
async function linear({ array, optional, list, size }: Call): Promise<Answer> {
  const [T, O, I] = ['T', 'O', 'I'].map(size)
  const x = await array('x') // [T, I]
  const weight = await array('weight') // [O, I]
  const bias = await optional('bias') // [O]
  const rows = (await list('rows')) ?? Int32Array.from({ length: O }, (_, o) => o) // [R]
  const y = new Float32Array(T * O)
  for (let t = 0; t < T; t++)
    for (const o of rows) {
      const product = dot(x.subarray(t * I, (t + 1) * I), weight.subarray(o * I, (o + 1) * I))
      y[t * O + o] = bias ? product + bias[o] : product
    }
  return { y, shape: [T, O] }
}

/** A striped sum of products: every product, and every sum, is rounded to float32. */
function dot(a: Float32Array, b: Float32Array): number {
  const { fround } = Math
  const lane = new Float32Array(16)
  const whole = a.length - (a.length % 16)
  for (let j = 0; j < whole; j++) lane[j % 16] += fround(a[j] * b[j])
  const q = [0, 1, 2, 3].map((j) =>
    fround(fround(lane[j] + lane[j + 4]) + fround(lane[j + 8] + lane[j + 12])),
  )
  let sum = fround(fround(q[0] + q[2]) + fround(q[1] + q[3]))
  for (let j = whole; j < a.length; j++) sum = fround(sum + fround(a[j] * b[j]))
  return sum
}

const known: Readonly<Record<string, (call: Call) => Promise<Answer>>> = { relu, linear }

const [expected, actual] = process.argv.slice(2)
await mkdir(actual, { recursive: true })
for (const file of (await readdir(expected)).sort()) {
  const compute = known[file.replace(/\.safetensors$/, '')]
  if (compute === undefined) continue
  const source = await openSafetensors(join(expected, file))
  const answers = new Map<string, TensorToWrite>()
  const cases = Number(source.metadata.get('cases'))
  for (let number = 0; number < cases; number++) {
    const key = (name: string): string => `${number}.in.${name}`
    const { y, shape } = await compute({
      array: (name) => source.read(key(name)),
      optional: async (name) => (source.tensors.has(key(name)) ? source.read(key(name)) : null),
      list: async (name) => (source.tensors.has(key(name)) ? readIntegers(source, key(name)) : null),
      size: (name) => Number(source.metadata.get(`${number}.${name}`)),
    })
    answers.set(`${number}.out.y`, { dtype: 'F32', shape, data: y })
  }
  await source.close()
  await writeSafetensors(join(actual, file), answers)
  console.log(`${file}: ${cases} calls`)
}
