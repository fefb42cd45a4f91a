/**
 * A backend against the definitions, where its device may take subnormal numbers for 0: whether it differs in nothing else.
 */
import { isSubnormal, rounding } from './watched_rounding.ts'
import type { Backend, BackendName } from '../../../src/backends/backend.ts'
import { createBackend } from '../../../src/backends/select.ts'
import { exactKernels } from '../../../src/backends/webgpu/exact_kernels.ts'
import { float32Wgsl } from '../../../src/backends/webgpu/float32_wgsl.ts'
import { WebGpuBackend } from '../../../src/backends/webgpu/webgpu_backend.ts'
import { makeConfig, type Family } from '../../../src/engine/config.ts'
import { initialWeights } from '../../../src/engine/initial_weights.ts'
import { LanguageModel } from '../../../src/engine/language_model.ts'
import { kernelNames, type KernelName } from '../../../src/ops/catalog.ts'
import type { Numbers } from '../../../src/ops/op.ts'
import { batchesOf, casesOf } from '../../../src/parity/op_suite.ts'
import { runModel, type ModelOutcome } from '../../../src/parity/run_model.ts'
import { memorySource } from '../../../src/tensor/memory_source.ts'
import { compareOutputs, evaluate, owedBy, owesBits } from '../../../src/testing/op_agreement.ts'
import { callAll } from '../../../src/testing/op_call.ts'
import { wordsOf } from './words_of.ts'

/** What is compared: WebGPU with the exact kernels, whatever the adapter is like, or with those that it gets. */
export interface ParityTask {
  readonly kernels: 'exact' | 'own'
  readonly families: readonly Family[]
  readonly seed: number
}

/** Calls of an op whose numbers are what the backend owes, bits or bounds, and the others. */
export interface OpFound {
  readonly op: KernelName
  readonly equal: number
  /** Other calls in whose computation a number is subnormal. */
  readonly subnormal: number
  /** The first wrong number of each call in which none is. */
  readonly wrong: readonly string[]
}

/** What was found of a backend. */
export interface ParityFound {
  /** Its name, and why it is not the one that was asked for. */
  readonly name: BackendName
  readonly notExact: string | null
  readonly device: string | null
  readonly models: readonly ModelOutcome[]
  readonly ops: readonly OpFound[]
}

/** What a comparison finds, or what ended it. */
export function answerTask(task: ParityTask): Promise<ParityFound | { error: string }> {
  return findParity(task).catch((error: unknown) => ({ error: wordsOf(error) }))
}

/** Compares small models and every op, on the cases of `parity run`. */
async function findParity({ kernels, families, seed }: ParityTask): Promise<ParityFound> {
  expectWatched()
  const own = kernels === 'own' ? undefined : { kernels: exactKernels, library: float32Wgsl }
  const backend = await WebGpuBackend.create('webgpu', {}, own)
  const reference = await createBackend('reference')
  try {
    const models: ModelOutcome[] = []
    for (const family of families) models.push(await compareModel(family, seed, backend, reference))
    const ops = kernelNames.map((op) => compareOp(op, seed, backend))
    const { name, notExact, device } = backend
    return { name, notExact, device, models, ops }
  } finally {
    backend.dispose()
    reference.dispose()
  }
}

/** @throws Error if the definitions kept Math.fround before it was watched: every difference would look unexplained */
function expectWatched(): void {
  rounding.sawSubnormal = false
  // The quotient alone is subnormal.
  evaluate('soft_cap', { y: new Float32Array(1), x: Float32Array.of(2e-38), cap: 50, N: 1 })
  if (!rounding.sawSubnormal) throw new Error('the definitions are not watched')
}

/** Tensors, gradients, masks, greedy tokens and their logits. */
async function compareModel(
  family: Family,
  seed: number,
  backend: Backend,
  reference: Backend,
): Promise<ModelOutcome> {
  const sizes = { layers: 2, width: 48, heads: 4, neurons: 80, vocabulary: 101, positions: 64 }
  const config = makeConfig({ ...sizes, family })
  const source = memorySource(initialWeights(config, { seed }))
  const model = await LanguageModel.load(config, source, backend)
  const expected = await LanguageModel.load(config, source, reference)
  try {
    return await runModel(model, expected, { seed, strict: owesBits(backend) })
  } finally {
    model.dispose()
    expected.dispose()
  }
}

/** One op on its cases. */
export function compareOp(op: KernelName, seed: number, backend: Backend): OpFound {
  const found = { op, equal: 0, subnormal: 0, wrong: [] as string[] }
  for (const batch of batchesOf(casesOf(op, { seed, small: true }))) {
    const calls = batch.map(({ values, aliased }) => ({ name: op, given: values, placing: { aliased } }))
    const results = callAll(backend, calls)
    for (const [i, { values, sizes }] of batch.entries()) {
      const actual = results[i]
      if (actual instanceof Error) throw actual
      rounding.sawSubnormal = false
      const expected = evaluate(op, values)
      const { passed, worst } = compareOutputs(op, values, expected, actual, owedBy(backend))
      const numbers = [...Object.values(values), ...Object.values(expected)]
      if (passed) found.equal++
      else if (rounding.sawSubnormal || numbers.some(hasSubnormal)) found.subnormal++
      else found.wrong.push(`${worst?.output}[${worst?.index}] at ${JSON.stringify(sizes)}`)
    }
  }
  return found
}

function hasSubnormal(numbers: Numbers | number | null | undefined): boolean {
  if (typeof numbers === 'number') return isSubnormal(numbers)
  return numbers instanceof Float32Array && numbers.some(isSubnormal)
}
