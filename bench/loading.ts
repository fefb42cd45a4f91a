/**
 * What loading a checkpoint takes: the peak resident memory of a fresh process beside what it loads, and seconds.
 *
 *   node scripts/node.mjs bench/loading.ts [layers] [F32|F16|BF16|F64] [backend]
 *
 * The model is OPT-1.3b with fewer blocks (12 unless told: 2.8 GB in f32, which one WebAssembly memory holds), its weights
 * noise. Another process writes it to the system's temporary folder; it is removed at the end.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import process from 'node:process'
import type { BackendName } from '../src/backends/backend.ts'
import { createBackend } from '../src/backends/select.ts'
import { openSafetensors } from '../src/io/safetensors.ts'
import { writeSafetensors } from '../src/io/safetensors_writer.ts'
import { makeOptConfig, type OptConfig } from '../src/model/opt/config.ts'
import { parameterShapes } from '../src/model/opt/names.ts'
import { loadWeights } from '../src/model/opt/weights.ts'
import { commandArguments, now, pathOfUrl, write } from '../src/platform/platform.ts'
import { Random } from '../src/tensor/random.ts'
import type { SourceDtype } from '../src/tensor/tensor_source.ts'

const LOADS = 3

function configOf(layers: string): OptConfig {
  const sizes = { width: 2048, heads: 32, neurons: 8192, vocabulary: 50272, positions: 2048 }
  return makeOptConfig({ ...sizes, layers: Number(layers) })
}

function lengthOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1)
}

/** Writes the checkpoint. Every tensor is a view of the same noise, as long as the longest of them. */
async function writeCheckpoint(path: string, layers: string, dtype: SourceDtype): Promise<void> {
  const shapes = parameterShapes(configOf(layers))
  const random = new Random(1)
  const noise = Float32Array.from({ length: 2 ** 20 }, () => 0.02 * random.normal())
  const values = new Float32Array(Math.max(...[...shapes.values()].map(lengthOf)))
  for (let i = 0; i < values.length; i++) values[i] = noise[i % noise.length]
  const tensors = [...shapes].map(
    ([name, shape]) => [name, { dtype, shape, data: values.subarray(0, lengthOf(shape)) }] as const,
  )
  await writeSafetensors(path, new Map(tensors))
}

/** Loads the checkpoint and says what that took. */
async function loadCheckpoint(path: string, layers: string, backendName: BackendName): Promise<void> {
  const peak = (): number => process.resourceUsage().maxRSS * 1024
  const before = peak()
  const start = now()
  const source = await openSafetensors(path)
  const { parameters } = await loadWeights(configOf(layers), source, await createBackend(backendName))
  const seconds = (now() - start) / 1000
  const held = [...parameters.values()].reduce((sum, { length }) => sum + 4 * length, 0)
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(0)} MB`
  await write(
    'stdout',
    `weights ${megabytes(held)}, peak ${megabytes(peak())} (${megabytes(before)} before), ` +
      `${(peak() / held).toFixed(3)} x the weights, ${seconds.toFixed(1)} s\n`,
  )
  await source.close()
}

/** Runs this file in a process of its own, whose peak is that of this work alone. */
function inAnotherProcess(...words: string[]): void {
  const { status } = spawnSync(process.execPath, [pathOfUrl(import.meta.url), ...words], { stdio: 'inherit' })
  if (status !== 0) throw new Error(`${words[0]}: expected it to end well, got status ${status}`)
}

async function main(words: readonly string[]): Promise<void> {
  if (words[0] === 'write') return writeCheckpoint(words[1], words[2], words[3] as SourceDtype)
  if (words[0] === 'load') return loadCheckpoint(words[1], words[2], words[3] as BackendName)
  const [layers = '12', dtype = 'F32', backend = 'wasm'] = words
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-loading-'))
  try {
    const path = join(folder, 'model.safetensors')
    inAnotherProcess('write', path, layers, dtype)
    for (let turn = 0; turn < LOADS; turn++) inAnotherProcess('load', path, layers, backend)
  } finally {
    rmSync(folder, { recursive: true })
  }
}

await main(commandArguments())
