/**
 * The files of the embedded model for a page: fetched with progress, the weights rounded to four bits or as they are.
 */
import { embeddedFiles } from '../../io/embedded.ts'
import { fetchPackaged } from '../../io/packaged.ts'
import { readFile, runtime } from '../../platform/platform.ts'
import { packedPredictor, packedWeights } from './first_data.ts'
import { inflated, packWeights, unpackWeights } from './rounded_weights.ts'

/** The weights: in four bits, or as the package has them. */
export type EmbeddedWeights = 'rounded' | 'whole'

/** The embedded model by its weights, as the page and its traces name it. */
export const embeddedNames: Readonly<Record<EmbeddedWeights, string>> = {
  rounded: 'tiny-opt in four bits',
  whole: 'tiny-opt, whole',
}

/** Bytes that have come, and all; NaN where a server does not say how many come. */
export type OnBytes = (loaded: number, total: number) => void

const WEIGHTS = 'model.safetensors'
const PREDICTOR = 'predictor.safetensors'

/** The files by name, the small ones first. @throws InputError FILE_READ; the signal's reason */
export async function embeddedModelFiles(
  weights: EmbeddedWeights = 'rounded',
  onBytes: OnBytes = () => {},
  signal?: AbortSignal,
): Promise<Map<string, Blob>> {
  const what = "the embedded model's file"
  const others = Object.entries(embeddedFiles).filter(([name]) => name !== WEIGHTS)
  const fetched = others.map(async ([name, url]) => {
    const packed = name === PREDICTOR ? packedPredictor : null
    const bytes = await fetchPackaged(name, packed ?? url, what)
    return [name, packed ? await inflated(bytes) : bytes] as const
  })
  const own = weightsOf(weights, onBytes, signal)
  own.catch(() => {}) // told below
  const files = new Map((await Promise.all(fetched)).map(([name, bytes]) => [name, new Blob([bytes])]))
  return files.set(WEIGHTS, new Blob([await own]))
}

async function weightsOf(
  weights: EmbeddedWeights,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  const whole = embeddedFiles[WEIGHTS]
  if (weights === 'whole') return fetchBytes(whole, onBytes, signal)
  if (packedWeights !== null) return unpackWeights(await fetchBytes(packedWeights, onBytes, signal))
  rounded ??= packedHere(onBytes).then(unpackWeights)
  return rounded
}

let rounded: Promise<Uint8Array<ArrayBuffer>> | null = null
let packed: Promise<Uint8Array<ArrayBuffer>> | null = null

/** The weights rounded and deflated; without a build, and for it, they are made here, once. @throws InputError FILE_READ */
export function packedHere(onBytes: OnBytes = () => {}): Promise<Uint8Array<ArrayBuffer>> {
  packed ??= fetchBytes(embeddedFiles[WEIGHTS], onBytes).then(packWeights)
  return packed
}

/** A file, with its progress in a browser. */
async function fetchBytes(
  url: URL,
  onBytes: OnBytes,
  signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> {
  if (runtime.name !== 'browser') return readFile(url)
  const response = await fetch(url, { signal })
  const total = Number(response.headers.get('content-length') ?? NaN)
  if (!response.ok || response.body === null) return fetchPackaged(WEIGHTS, url, "the embedded model's file")
  let loaded = 0
  const counted = response.body.pipeThrough(
    new TransformStream<Uint8Array<ArrayBuffer>, Uint8Array<ArrayBuffer>>({
      transform(chunk, controller) {
        onBytes((loaded += chunk.length), total)
        controller.enqueue(chunk)
      },
    }),
  )
  return new Uint8Array(await new Response(counted).arrayBuffer())
}
