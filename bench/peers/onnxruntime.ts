/**
 * onnxruntime as this bench uses it: the packages of this folder, and their sessions.
 *
 * They are not installed with the project, so the few types needed stand here and not in an import. Both packages have
 * the interface of onnxruntime-common; onnxruntime-node is native, onnxruntime-web is WebAssembly.
 */
import { joinPath, openRange, readFile } from '../../src/platform/platform.ts'
import { MissingError } from '../../src/tensor/errors.ts'
import { WEIGHTS_FILE } from './decoder_graph.ts'
import { peerFolder } from './installed.ts'
import { MODEL_FILE } from './weights_file.ts'

/** A value that goes in or comes out. */
export interface Tensor {
  readonly dims: readonly number[]
  readonly data: Float32Array | BigInt64Array
}

/** Values by the graph's names. */
type Values = Readonly<Record<string, Tensor>>

/** A loaded graph. */
export interface Session {
  run(inputs: Values): Promise<Values>
  release(): Promise<void>
}

/** A package. */
export interface Onnxruntime {
  readonly Tensor: new (type: string, data: Tensor['data'], dims: readonly number[]) => Tensor
  readonly InferenceSession: {
    create(model: string | Uint8Array, options: Readonly<Record<string, unknown>>): Promise<Session>
  }
  readonly env: {
    readonly versions: Readonly<Record<'node' | 'web', string | undefined>>
    readonly wasm: { numThreads?: number }
  }
}

/** Which package. */
export type Package = 'onnxruntime-node' | 'onnxruntime-web'

/** How a session computes. */
export interface SessionOptions {
  readonly threads: number
  /** Whether matrices are copied into the order its kernels read them in; that is what onnxruntime does by default. */
  readonly repacked: boolean
}

/** What the memory of 32-bit WebAssembly ends at. */
const MOST_BYTES = 2 ** 32

/**
 * Loads a package.
 * @throws MissingError PEERS_MISSING if it is not installed here
 */
export async function loadPackage(name: Package): Promise<Onnxruntime> {
  await peerFolder(name)
  const loaded = (await import(name)) as Onnxruntime & { readonly default?: Onnxruntime }
  return loaded.default ?? loaded
}

/**
 * The weights in a folder, for WebAssembly.
 * @throws MissingError BACKEND_MEMORY if its memory ends before they do
 */
async function readWeights(folder: string, name: Package): Promise<Uint8Array> {
  const file = await openRange(joinPath(folder, WEIGHTS_FILE))
  try {
    if (file.size >= MOST_BYTES)
      throw new MissingError(
        'BACKEND_MEMORY',
        `${name}: expected weights of less than ${MOST_BYTES} bytes, got ${file.size}`,
      )
    return await file.read(0, file.size)
  } finally {
    await file.close()
  }
}

/**
 * Opens the decoder in a folder. The files must stay until the session is released: weights may be read from there at
 * any time.
 * @throws MissingError BACKEND_MEMORY if WebAssembly cannot hold the weights
 */
export async function openSession(
  runtime: Onnxruntime,
  name: Package,
  folder: string,
  { threads, repacked }: SessionOptions,
): Promise<Session> {
  const model = joinPath(folder, MODEL_FILE)
  const options = { intraOpNumThreads: threads, interOpNumThreads: 1, graphOptimizationLevel: 'all' }
  if (name === 'onnxruntime-node') {
    const extra = { 'session.disable_prepacking': repacked ? '0' : '1' }
    return runtime.InferenceSession.create(model, { ...options, executionProviders: ['cpu'], extra })
  }
  runtime.env.wasm.numThreads = threads
  const data = await readWeights(folder, name)
  try {
    return await runtime.InferenceSession.create(await readFile(model), {
      ...options,
      executionProviders: ['wasm'],
      extra: { session: { disable_prepacking: repacked ? '0' : '1' } },
      externalData: [{ path: WEIGHTS_FILE, data }],
    })
  } catch (cause) {
    // Loading takes more than the weights alone; how much more is onnxruntime's affair.
    if (!String(cause).includes('bad_alloc')) throw cause
    const message = `${name}: expected room for ${data.length} bytes of weights and for loading them, got too little`
    throw new MissingError('BACKEND_MEMORY', message, { cause })
  }
}
