/**
 * The models that are compared: one from a GGUF file, or random weights in the sizes of a known one. Each is written as a
 * GGUF file of every format, and everything that reads files reads these.
 */
import { architectureByName } from '../../src/cost/architectures.ts'
import { RandomBlock, RandomSource } from '../../src/bench/random_weights.ts'
import { parseConfig, type ModelConfig } from '../../src/engine/config.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { formats, type Format } from '../../src/io/gguf_formats.ts'
import { openModelFolder } from '../../src/io/load.ts'
import { exists, fileNameOf, joinPath, writeFileAtomic } from '../../src/platform/platform.ts'
import { UsageError } from '../../src/tensor/errors.ts'
import type { TensorSource } from '../../src/tensor/tensor_source.ts'
import { ggufModel, plainTokenizer } from './gguf_model.ts'

const SEED = 1
/** Of vectors over matrices. Biases and norms of an untrained model are 0 and 1, which would hide one that is left out. */
const VECTOR_SCALE = 5

/** Shapes, and how many rounds they are timed for if nothing is said. */
const rounds = {
  'opt-125m': 15,
  'opt-350m': 9,
  'opt-1.3b': 5,
  'gemma-3-270m': 9,
  'qwen3-0.6b': 5,
  'llama-3.2-1b': 5,
} as const

/** The name of a shape. */
type Shape = keyof typeof rounds
export const shapes: readonly Shape[] = Object.keys(rounds) as Shape[]

const ROUNDS_OF_FILES = 15

/**
 * A model of `shapes`; with fewer layers if asked, for memories that cannot hold all of them. Weights of norms are those of a GGUF
 * file, to which nothing is added.
 * @throws UsageError LAYERS if the shape has not as many
 */
export function shapeByName(name: string, layers?: number): ModelConfig {
  const { name: _, normOffset: __, ...config } = architectureByName(name)
  if (layers !== undefined && layers > config.layers)
    throw new UsageError('LAYERS', `--layers: expected at most ${config.layers} of ${name}, got ${layers}`)
  return { ...config, layers: layers ?? config.layers }
}

/** A model to be compared. */
export interface Subject {
  readonly name: string
  readonly weights: 'random' | 'checkpoint'
  readonly config: ModelConfig
  readonly rounds: number
  /** The storage in which this project holds what the others are held against: f32 where that fits. */
  readonly exact: 'f32' | 'f16'
  readonly formats: readonly Format[]
  /** Its predictor, by path or name; null for one of random numbers. */
  readonly predictor: string | null
  /** Where files are written. */
  readonly folder: string
  /** Its float32 weights by Hugging Face's names; to be closed. */
  open(): Promise<TensorSource>
  /** The weights as a format has them, from the very file where this project can read it; to be closed. */
  openAs(format: Format): Promise<TensorSource>
  /** The path of its GGUF file, which is written when it is asked for first. */
  file(format: Format): Promise<string>
}

/** What a memory of WebAssembly holds of weights, with room for a cache, a predictor and packed rows. */
const MAX_BYTES = 3 * 2 ** 30

/** What all models have, from what tells them apart. */
function subjectOf(
  about: Pick<Subject, 'name' | 'weights' | 'config' | 'rounds' | 'predictor' | 'folder' | 'open'>,
  writeFile: (path: string, format: Format) => Promise<unknown>,
): Subject {
  const { config, folder, open } = about
  const numbers = [...parameterShapes(config).values()].reduce(
    (sum, shape) => sum + shape.reduce((product, size) => product * size, 1),
    0,
  )
  const exact = 4 * numbers < MAX_BYTES ? 'f32' : 'f16'
  const file = async (format: Format): Promise<string> => {
    const path = joinPath(folder, `${format}.gguf`)
    if (!(await exists(path))) await writeFile(path, format)
    return path
  }
  // A file of architecture gpt2 is a model that this project has not: it takes the weights before they are written.
  const openAs = async (format: Format): Promise<TensorSource> =>
    config.family === 'opt' ? open() : (await openModelFolder(await file(format))).source
  const written = formats.filter((format) => format !== 'F32' || exact === 'f32')
  return { ...about, exact, formats: written, openAs, file }
}

/** Random weights in the sizes of a shape. @throws UsageError LAYERS */
export function shapeSubject(shape: Shape, folder: string, layers?: number): Subject {
  const config = shapeByName(shape, layers)
  const source = new UntrainedSource(parameterShapes(config), SEED)
  const part = config.layers < architectureByName(shape).layers ? `, ${config.layers} layers` : ''
  return subjectOf(
    {
      name: `${shape}${part}`,
      weights: 'random',
      config,
      rounds: rounds[shape],
      predictor: null,
      folder,
      open: async () => source,
    },
    (path, format) =>
      writeFileAtomic(path, ggufModel(config, source, format, plainTokenizer(config.vocabulary))),
  )
}

/** A model from a GGUF file. @throws what opening it throws */
export async function fileSubject(path: string, predictor: string | null, folder: string): Promise<Subject> {
  const { configJson, source } = await openModelFolder(path)
  await source.close()
  return subjectOf(
    {
      name: fileNameOf(path).replace(/\.gguf$/i, ''),
      weights: 'checkpoint',
      config: parseConfig(configJson),
      rounds: ROUNDS_OF_FILES,
      predictor,
      folder,
      open: async () => (await openModelFolder(path)).source,
    },
    (to, type) => convertCheckpoint(path, to, { type }),
  )
}

/** Matrices of one block of random numbers, as those of `RandomSource`; vectors that are not 0 and 1. */
class UntrainedSource extends RandomSource {
  readonly #block = new RandomBlock(SEED)

  override async readRows(name: string, first: number, count: number): Promise<Float32Array> {
    const values = await super.readRows(name, first, count)
    if (this.tensors.get(name)?.shape.length !== 1) return values
    const noise = this.#block.take(first + name.length, count)
    return values.map((value, i) => value + VECTOR_SCALE * noise[i])
  }
}
