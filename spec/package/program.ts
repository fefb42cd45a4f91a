/**
 * A program of a user of the package, as text: it imports the library and two subpaths by name, and says in one line what
 * came of it. The same one runs in Node, in Deno, from a bundle and in a page; what it says is compared with the sources.
 */

/** What the program prints, after the word `result`. */
export interface Said {
  /** What the embedded model wrote, with half of its units skipped. */
  readonly text: string
  /** Kernels of the catalogue. */
  readonly ops: number
  /** Whether the kernels gave the bits of a definition. */
  readonly sameBits: boolean
}

/** How the text is asked for. */
export const asked = {
  prompt: 'Once upon a time',
  options: { planner: 'shadow', sparsity: 0.5, maxTokens: 12 },
} as const

/** The program, with this many threads: an expression. That there are several, if so, is part of what it tries. */
function programWith(threads: string): string {
  return `
import { ShadowModel } from 'shadowllm'
import { createBackend } from 'shadowllm/backends'
import { kernels } from 'shadowllm/ops'

const threads = ${threads}
const opt = await ShadowModel.fromPretrained('embedded', { backend: 'wasm', threads })
let text = ''
for await (const step of opt.generate(${JSON.stringify(asked.prompt)}, ${JSON.stringify(asked.options)}))
  text += step.text
await opt.dispose()

const x = Float32Array.from({ length: 37 }, (_, i) => Math.fround(1 / (i - 17.3)))
const expected = new Float32Array(37)
kernels.exp.reference(expected, x, 37)
const backend = await createBackend('wasm', threads > 1 ? { threads, sharing: 'always' } : {})
const out = backend.allocate('f32', [37])
backend.ops.exp(out, backend.upload(x))
const found = backend.readF32(out)
backend.dispose()

const sameBits = found.every((value, i) => Object.is(value, expected[i]))
console.log('result ' + JSON.stringify({ text, ops: Object.keys(kernels).length, sameBits }))
`
}

/** For Node and Deno. */
export const program: string = programWith('2')

/** For a page, which has threads that share memory only where it is isolated, and for code that was moved without them. */
export const pageProgram: string = programWith('globalThis.crossOriginIsolated ? 2 : 1')

/** A program that is only compiled: a name of each subpath, with a type of its own. */
export const typedProgram = `
import { ShadowModel, type MaskPlanner, type OpenOptions } from 'shadowllm'
import { createBackend, type Backend } from 'shadowllm/backends'
import { criteria, type Criterion } from 'shadowllm/criteria'
import { reproduce, type ReproduceOptions } from 'shadowllm/eval'
import { parseSafetensors, type RawTensorSource } from 'shadowllm/io/safetensors'
import { makeBudget, selectMask, type UnitMask, type UnitScores } from 'shadowllm/masks'
import { LanguageModel, type ModelConfig } from 'shadowllm/model'
import { kernels, type KernelName } from 'shadowllm/ops'
import { openPredictor, type Predictor } from 'shadowllm/predictor'
import { trainShadow, type TrainingOptions } from 'shadowllm/train'
import { verify, type LawReport } from 'shadowllm/verify'
import { RemoteModel, startEngine, type Engine } from 'shadowllm/worker'

const options: OpenOptions = { backend: 'wasm', storage: 'int8' }
const opening: Promise<ShadowModel> = ShadowModel.fromPretrained('embedded', options)
const backend: Promise<Backend> = createBackend('wasm')
const names: KernelName[] = Object.keys(kernels) as KernelName[]
const mask = (scores: UnitScores): UnitMask => selectMask(scores, makeBudget(0.5))
const planner: MaskPlanner = { name: 'mine', by: 'attention', choose: () => mask({ layers: 1, heads: [], neurons: [] } as never) }
const first: Criterion = criteria[0]
const source: Promise<RawTensorSource> = parseSafetensors(new Uint8Array())
const reports: AsyncIterable<LawReport> = verify({ backends: ['wasm'], seed: 1 })
const far = ({ rpc }: Engine): Promise<RemoteModel> => RemoteModel.fromPretrained(rpc, 'embedded')
const predictor: (...args: Parameters<typeof openPredictor>) => Promise<Predictor> = openPredictor
export { backend, far, first, mask, names, LanguageModel, opening, planner, predictor, reports, reproduce, source, startEngine, trainShadow }
export type { ModelConfig, ReproduceOptions, TrainingOptions }
// @ts-expect-error: a type that is not there, or is any, would let this pass
const wrong: number = first
export { wrong }
`
