/**
 * What the laws of the hub share: a model to serve, a cache to fill, and mutants of the sources.
 */
import { createHash } from 'node:crypto'
import type { ServerResponse } from 'node:http'
import { cpSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { expect, onTestFinished, test } from 'vitest'
import { openHubModel, type DownloadProgress } from '../../../src/io/hub.ts'
import type { HubSettings } from '../../../src/io/hub/settings.ts'
import { ShadowError } from '../../../src/tensor/errors.ts'
import { root } from '../../harness/syntax.ts'
import { MockHub, sha256, type Misbehaviour } from '../mock_hub.ts'

/** What a law judges: the real one, or one with a planted bug. */
type Open = typeof openHubModel

/** A law of the hub, as a function of what it judges. */
export type HubLaw = (open: Open) => Promise<void>

/** Bytes that no compressor likes, the same for the same seed. */
export function noise(length: number, seed = 'noise'): Buffer {
  const parts: Buffer[] = []
  for (let i = 0; i * 32 < length; i++) parts.push(createHash('sha256').update(`${seed} ${i}`).digest())
  return Buffer.concat(parts).subarray(0, length)
}

/** The files of a repository as facebook/opt-* have them: one `.bin` for torch, and what nobody here needs. */
export function torchRepository(): Map<string, Buffer> {
  return new Map(
    Object.entries({
      'README.md': noise(300, 'readme'),
      'config.json': Buffer.from('{"model_type":"opt"}'),
      'flax_model.msgpack': noise(60_000, 'flax'),
      'generation_config.json': Buffer.from('{}'),
      'merges.txt': noise(500, 'merges'),
      'pytorch_model.bin': noise(300_000, 'torch'),
      'special_tokens_map.json': Buffer.from('{}'),
      'tf_model.h5': noise(60_000, 'tf'),
      'vocab.json': noise(400, 'vocab'),
    }),
  )
}

/** A repository with these files, each a little noise, and an index for the parts. */
export function repository(
  names: readonly string[],
  index?: string,
  shards: readonly string[] = [],
): Map<string, Buffer> {
  const map = Object.fromEntries(shards.map((shard, i) => [`tensor${i}`, shard]))
  const files = new Map([...names, ...shards].map((name) => [name, noise(200, name)]))
  return index === undefined ? files : files.set(index, Buffer.from(JSON.stringify({ weight_map: map })))
}

/** A hub, a cache, and the way from one to the other; gone when the test is over. */
export interface HubCase {
  readonly hub: MockHub
  readonly cache: string
  /** The model's folder in the cache. */
  readonly folder: string
  readonly settings: HubSettings
  /** Every wait that was asked for, in milliseconds; none is waited for. */
  readonly waits: number[]
}

/** The time of all cases. Dates in headers have whole seconds. */
export const NOW: number = Date.UTC(2024, 0, 1)

/** A new case. */
export async function hubCase(
  files: ReadonlyMap<string, Buffer> = torchRepository(),
  settings: Partial<HubSettings> = {},
): Promise<HubCase> {
  const hub = await MockHub.start()
  for (const [name, content] of files) hub.files.set(name, content)
  const cache = temporary()
  onTestFinished(() => hub.stop())
  const waits: number[] = []
  const wait: HubSettings['wait'] = async (milliseconds, signal) => {
    signal?.throwIfAborted()
    waits.push(milliseconds)
  }
  const usual = {
    endpoint: new URL(hub.endpoint),
    cache,
    token: 'hf_secret',
    offline: false,
    now: () => NOW,
    stallAfter: 600_000,
  }
  return {
    hub,
    cache,
    folder: join(cache, 'models--someone--tiny'),
    settings: { ...usual, wait, ...settings },
    waits,
  }
}

/** A folder that is gone when the test is over. */
export function temporary(): string {
  const folder = mkdtempSync(join(tmpdir(), 'shadowllm-hub-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** The error of the house that an action ends with: its code. Fails if it ends well, or with another error. */
export async function codeOf(action: () => Promise<unknown>): Promise<string> {
  const error = await errorOf(action)
  return error.code
}

/** The error of the house that an action ends with. Fails if it ends well, or with another error. */
export async function errorOf(action: () => Promise<unknown>): Promise<ShadowError> {
  try {
    await action()
  } catch (error) {
    // A mutant's errors are of classes of its own.
    if (error instanceof ShadowError || (error as Error).constructor.name.endsWith('Error')) {
      const { code } = error as ShadowError
      if (/^[A-Z][A-Z0-9_]+$/.test(code ?? '')) return error as ShadowError
    }
    throw error
  }
  throw new Error('expected an error, but it ended well')
}

/**
 * `openHubModel` of sources in which one piece of text, found exactly once, is another.
 * @param file of src/
 */
async function mutantOf(file: string, from: string, to: string): Promise<Open> {
  const folder = temporary()
  for (const room of ['platform', 'tensor', 'io'])
    cpSync(join(root, 'src', room), join(folder, room), { recursive: true })
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}')
  const text = readFileSync(join(folder, file), 'utf8')
  if (text.split(from).length !== 2) throw new Error(`${file}: expected ${from} once`)
  writeFileSync(
    join(folder, file),
    text.replace(from, () => to),
  )
  const url = pathToFileURL(join(folder, 'io/hub.ts')).href
  const module = (await import(/* @vite-ignore */ url)) as { openHubModel: Open }
  return module.openHubModel
}

/** Bugs by name: in a file below src/io, a text that is found once, and what replaces it. */
type Bugs = Readonly<Record<string, readonly [file: string, from: string, to: string]>>

/** States a law of `openHubModel`, and that it finds each bug. */
export function stateHubLaw(sentence: string, law: HubLaw, bugs: Bugs = {}): void {
  test(sentence, () => law(openHubModel))
  test.each(Object.entries(bugs))(`${sentence}: a mutant is killed: %s`, async (_, [file, from, to]) => {
    await expect(law(await mutantOf(`io/${file}`, from, to))).rejects.toThrow()
  })
}

// ---- Weights on their way ---------------------------------------------------------------------------------------

/** The one file that is large, so that it comes from the store. */
export const weights = 'pytorch_model.bin'

/** What is in it. */
export const content: Buffer = torchRepository().get(weights) as Buffer

/** A server that answers for one file otherwise: for a large one the store, which has its bytes. */
export function misbehaving(name: string, answer: Misbehaviour): Misbehaviour {
  return (exchange) =>
    exchange.name === name && (exchange.at === 'store' || name !== weights) && answer(exchange)
}

/**
 * Has the weights' connection dropped once, when so many bytes have arrived. What comes next is answered as said.
 * @returns what must watch the progress
 */
export function dropOnce(
  { hub }: HubCase,
  place: number,
  next: Misbehaviour = () => false,
): (progress: DownloadProgress) => void {
  let held: ServerResponse | null = null
  hub.misbehave = misbehaving(weights, (exchange) => {
    if (held !== null) return next(exchange)
    held = exchange.response
    held.writeHead(200, { 'content-length': content.length }).write(content.subarray(0, place))
    return true
  })
  return ({ loadedBytes, totalBytes, name }) => {
    const before = totalBytes - content.length
    if (name === weights && loadedBytes - before >= place) held?.destroy()
  }
}

/** Expects that the weights in the cache are those of the hub, and that nothing unfinished lies beside them. */
export function expectWhole({ folder, hub }: HubCase): void {
  const [commit] = readdirSync(join(folder, 'snapshots'))
  const bytes = readFileSync(join(folder, 'snapshots', commit, weights))
  expect(sha256(bytes)).toBe(sha256(hub.files.get(weights) as Buffer))
  expect(leftovers(folder)).toEqual([])
}

/** Names in `blobs` that are no content. */
export function leftovers(folder: string): string[] {
  return readdirSync(join(folder, 'blobs')).filter((name) => !/^[0-9a-f]+$/.test(name))
}
