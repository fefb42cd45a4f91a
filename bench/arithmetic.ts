/**
 * The yardstick of kernels that wait for arithmetic: multiply-adds in registers (assembly/bench/arithmetic.ts), on one
 * thread, in WebAssembly as the kernels are.
 */
import { compileLoops } from './compile.ts'
import type { Job } from './timing.ts'

/** Turns of a loop in one call: a few milliseconds. */
const TURNS = 1_000_000

/** Lanes of the two kinds of numbers, and where the module says how many multiply-adds of vectors a turn has. */
const kinds = {
  floats: { lanes: 4, perTurn: 'FLOATS_PER_TURN' },
  integers: { lanes: 8, perTurn: 'INTEGERS_PER_TURN' },
} as const

/** The loops; the work of each is operations, two to a multiply-add. Relaxed ones are there where this runtime has them. */
export async function openArithmetic(): Promise<Job[]> {
  const strict = await compileLoops('arithmetic')
  const relaxed = await compileLoops('arithmetic', 'relaxed')
  const job = (name: string, binary: Uint8Array, kind: keyof typeof kinds): Job => {
    const module = new WebAssembly.Module(binary as BufferSource)
    const memory = new WebAssembly.Memory({ initial: 1 })
    const { exports } = new WebAssembly.Instance(module, { env: { memory } })
    const loop = exports[kind] as (turns: number) => number
    const { lanes, perTurn } = kinds[kind]
    const vectors = TURNS * ((exports[perTurn] as WebAssembly.Global).value as number)
    return { name, work: 2 * lanes * vectors, run: () => void loop(TURNS) }
  }
  return [
    job('f32x4 mul + add', strict, 'floats'),
    ...(WebAssembly.validate(relaxed as BufferSource) ? [job('f32x4.relaxed_madd', relaxed, 'floats')] : []),
    job('i32x4.dot_i16x8 + add', strict, 'integers'),
  ]
}
