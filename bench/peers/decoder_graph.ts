/**
 * OPT as an ONNX graph, one decoding step: new tokens and the keys and values of the past in, the logits of the last
 * position and the keys and values with the new ones behind them out. The same sums as src/engine/forward.ts.
 *
 * It is written to be easy on onnxruntime: matrices stand [inputs, outputs]; activations have two dimensions, so that a
 * linear layer with its bias is one Gemm, ReLU included (onnxruntime joins them); attention, and each sum with the norm
 * after it, are the fused operators of its CPU kernels (com.microsoft); only the last position meets the lm_head.
 * bench/README.md says what else was tried.
 */
import type { ModelConfig } from '../../src/engine/config.ts'
import { moduleName, type Module } from '../../src/verify/model/modules.ts'
import { outerNames } from './outer_names.ts'
import { parameterShapes } from '../../src/engine/program.ts'
import type {
  Attribute,
  ExternalTensor,
  InlineTensor,
  OnnxModel,
  OnnxNode,
  OnnxValue,
} from './onnx_writer.ts'

/** Name of the file of weights, beside the model. */
export const WEIGHTS_FILE = 'weights.bin'

/** Weights begin at multiples of this in their file: what systems map into memory is in pages. */
const PAGE = 4096

const MICROSOFT = 'com.microsoft'

/** A parameter of the file of weights: which one of the model it is, and whether its matrix is turned. */
export interface StoredParameter {
  readonly tensor: ExternalTensor
  /** Hugging Face's name. */
  readonly parameter: string
  /** [inputs, outputs] in the file, where Hugging Face has [outputs, inputs]. */
  readonly turned: boolean
}

/** A model without its weights, and where in their file each of them belongs. */
export interface DecoderGraph {
  readonly model: OnnxModel
  /** In the order of the file. */
  readonly stored: readonly StoredParameter[]
  /** Size of the file of weights. */
  readonly bytes: number
}

/** What a cache is called on its way in and on its way out. */
export function cacheNames(layer: number): readonly (readonly [past: string, present: string])[] {
  return ['key', 'value'].map((kind) => [`past.${layer}.${kind}`, `present.${layer}.${kind}`])
}

/** Nodes and parameters, added in the order of the pass. */
class GraphBuilder {
  readonly config: ModelConfig
  readonly nodes: OnnxNode[] = []
  readonly constants: InlineTensor[] = []
  readonly stored = new Map<string, StoredParameter>()
  bytes = 0
  readonly #shapes: ReadonlyMap<string, readonly number[]>

  constructor(config: ModelConfig) {
    this.config = config
    this.#shapes = parameterShapes(config)
  }

  /** Adds a node; returns the names of its outputs, which are fresh but for those given. */
  node(
    operator: string,
    inputs: readonly string[],
    attributes: Readonly<Record<string, Attribute>> = {},
    outputs: readonly string[] = [this.#fresh()],
    domain = '',
  ): readonly string[] {
    this.nodes.push({ operator, inputs, outputs, attributes, domain })
    return outputs
  }

  #fresh(): string {
    return `value.${this.nodes.length}`
  }

  /** The name of a parameter as it lies in the file, where it is given a place on its first use. */
  parameter(parameter: string, turned = false): string {
    const name = turned ? `${parameter}.turned` : parameter
    if (!this.stored.has(name)) {
      const shape = this.#shapes.get(parameter) as readonly number[]
      const length = shape.reduce((product, size) => product * size, 4)
      const tensor = {
        name,
        shape: turned ? shape.toReversed() : shape,
        file: WEIGHTS_FILE,
        offset: this.bytes,
        length,
      }
      this.stored.set(name, { tensor, parameter, turned })
      this.bytes += Math.ceil(length / PAGE) * PAGE
    }
    return name
  }

  /** The name of a list of whole numbers. */
  integers(...values: number[]): string {
    const name = `integers.${values.join('.')}`
    if (!this.constants.some((one) => one.name === name))
      this.constants.push({ name, shape: [values.length], values: BigInt64Array.from(values, BigInt) })
    return name
  }

  reshape(x: string, ...shape: number[]): string {
    return this.node('Reshape', [x, this.integers(...shape)])[0]
  }

  /** x weight, [T, I] to [T, O]; the weight is a parameter that Hugging Face stores as [O, I]. */
  matrix(x: string, weight: string, bias: readonly string[] = [], outputs?: readonly string[]): string {
    return this.node('Gemm', [x, this.parameter(weight, true), ...bias], {}, outputs)[0]
  }

  /** x weight + bias, by the name of the module. */
  linear(x: string, module: string): string {
    return this.matrix(x, `${module}.weight`, [this.parameter(`${module}.bias`)])
  }

  norm(x: string, module: string): string {
    const inputs = [x, this.parameter(`${module}.weight`), this.parameter(`${module}.bias`)]
    return this.node('LayerNormalization', inputs, {
      axis: { int: -1 },
      epsilon: { float: this.config.epsilon },
    })[0]
  }

  /** The norm of a sum, and the sum. */
  normedSum(x: string, branch: string, module: string): Stream {
    const inputs = [x, branch, this.parameter(`${module}.weight`), this.parameter(`${module}.bias`)]
    const [read, sum] = [this.#fresh(), `${this.#fresh()}.sum`]
    // Mean and deviation stand between the two, and are not asked for.
    this.node(
      'SkipLayerNormalization',
      inputs,
      { epsilon: { float: this.config.epsilon } },
      [read, '', '', sum],
      MICROSOFT,
    )
    return { read, carried: this.config.preNorm ? sum : read }
  }

  /** [T, D] queries, keys and values, and the cache, to [T, D] contexts. Each token sees the past and itself. */
  attention(queries: string, keys: string, values: string, layer: number): string {
    const { width: D, heads: H } = this.config
    const rows = [queries, keys, values].map((x) => this.reshape(x, 1, -1, D))
    const caches = cacheNames(layer)
    // Without a bias, a padding mask or a bias of the scores; scores are scaled by K ** -0.5 if nothing is said.
    const inputs = [...rows, '', '', '', ...caches.map(([past]) => past)]
    const attributes = { num_heads: { int: H }, unidirectional: { int: 1 } }
    const outputs = [this.#fresh(), ...caches.map(([, present]) => present)]
    return this.reshape(this.node('MultiHeadAttention', inputs, attributes, outputs, MICROSOFT)[0], -1, D)
  }
}

/** Between two branches: what the next one reads, and what its output is added to. */
interface Stream {
  readonly read: string // [T, D]
  readonly carried: string // [T, D]
}

/** Tokens and positions to the stream. */
function embedding(graph: GraphBuilder): string {
  const { embeddingWidth: E, width: D } = graph.config
  const names = outerNames(graph.config)
  const [tokens] = graph.node('Gather', [graph.parameter(names.tokenTable), 'tokens'])
  const [positions] = graph.node('Gather', [graph.parameter(names.positionTable), 'positions'])
  const rows = graph.reshape(tokens, -1, E)
  const projected = E === D ? rows : graph.matrix(rows, names.projectIn)
  return graph.node('Add', [projected, graph.reshape(positions, -1, D)])[0]
}

/** One block. The norm after its second sum is the next block's first; after the last there is none to join. */
function block(graph: GraphBuilder, { read, carried }: Stream, layer: number): Stream {
  const { preNorm, layers } = graph.config
  const linear = (x: string, module: Module): string =>
    graph.linear(x, moduleName(graph.config, layer, module))
  const context = graph.attention(linear(read, 'query'), linear(read, 'key'), linear(read, 'value'), layer)
  const norm = moduleName(graph.config, layer, preNorm ? 'ffnNorm' : 'attentionNorm')
  const middle = graph.normedSum(carried, linear(context, 'out'), norm)
  const [activation] = graph.node('Relu', [linear(middle.read, 'fc1')])
  const branch = linear(activation, 'fc2')
  if (!preNorm) return graph.normedSum(middle.carried, branch, moduleName(graph.config, layer, 'ffnNorm'))
  if (layer + 1 < layers)
    return graph.normedSum(middle.carried, branch, moduleName(graph.config, layer + 1, 'attentionNorm'))
  const [sum] = graph.node('Add', [middle.carried, branch])
  return { read: sum, carried: sum }
}

/** From the last block's stream to the logits of its last row. */
function head(graph: GraphBuilder, stream: string): void {
  const { embeddingWidth: E, width: D, finalNorm, tied } = graph.config
  const names = outerNames(graph.config)
  const bounds = [graph.integers(-1), graph.integers(2 ** 31 - 1), graph.integers(0)]
  let [last] = graph.node('Slice', [stream, ...bounds])
  if (finalNorm) last = graph.norm(last, names.finalNorm)
  if (E !== D) last = graph.matrix(last, names.projectOut)
  graph.matrix(last, tied ? names.tokenTable : names.head, [], ['logits'])
}

/** Inputs and outputs; P positions are in the cache, T are new, S are both. */
function signature({
  layers,
  heads: H,
  headSize: K,
  vocabulary: V,
}: ModelConfig): Pick<OnnxModel, 'inputs' | 'outputs'> {
  const inputs: OnnxValue[] = [
    { name: 'tokens', type: 'int64', shape: [1, 'T'] },
    { name: 'positions', type: 'int64', shape: [1, 'T'] }, // rows of the position table
  ]
  const outputs: OnnxValue[] = [{ name: 'logits', type: 'float32', shape: [1, V] }]
  for (let layer = 0; layer < layers; layer++)
    for (const [past, present] of cacheNames(layer)) {
      inputs.push({ name: past, type: 'float32', shape: [1, H, 'P', K] })
      outputs.push({ name: present, type: 'float32', shape: [1, H, 'S', K] })
    }
  return { inputs, outputs }
}

/** The decoder of a model of OPT with these sizes. @throws TypeError for another family */
export function decoderGraph(config: ModelConfig): DecoderGraph {
  if (config.family !== 'opt')
    throw new TypeError(`decoder graph: expected a model of OPT, got ${config.family}`)
  const graph = new GraphBuilder(config)
  const x = embedding(graph)
  let stream: Stream = {
    read: config.preNorm ? graph.norm(x, moduleName(config, 0, 'attentionNorm')) : x,
    carried: x,
  }
  for (let layer = 0; layer < config.layers; layer++) stream = block(graph, stream, layer)
  head(graph, stream.read)
  const stored = [...graph.stored.values()]
  const model: OnnxModel = {
    name: 'opt',
    operatorSets: [
      ['', 17],
      [MICROSOFT, 1],
    ],
    nodes: graph.nodes,
    parameters: [...graph.constants, ...stored.map(({ tensor }) => tensor)],
    ...signature(config),
  }
  return { model, stored, bytes: graph.bytes }
}
