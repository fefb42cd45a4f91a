/**
 * A model of the hub in memory: what is handed on is what the list says, and what it takes is known before.
 */
import { describe, expect, test } from 'vitest'
import { downloadModel, lookUpModel } from '../../../src/io/hub/in_memory.ts'
import type { HubSettings } from '../../../src/io/hub/settings.ts'
import { codeOf, hubCase, noise, repository, torchRepository } from './hub_cases.ts'

type Download = typeof downloadModel

const needed = ['config.json', 'generation_config.json', 'vocab.json', 'merges.txt', 'pytorch_model.bin']

async function bytesOf(blobs: ReadonlyMap<string, Blob>): Promise<Map<string, Buffer>> {
  const read = [...blobs].map(async ([name, blob]) => [name, Buffer.from(await blob.arrayBuffer())] as const)
  return new Map(await Promise.all(read))
}

describe('a look-up of a model', () => {
  test('lists the files that loading needs, without downloading a large one', async () => {
    const files = torchRepository().set('predictor.safetensors', noise(20_000, 'predictor'))
    const { hub, settings } = await hubCase(files)
    const listing = await lookUpModel(hub.id, settings)
    expect(listing.files.map(({ name }) => name).toSorted()).toEqual(
      [...needed, 'predictor.safetensors'].toSorted(),
    )
    expect(listing.bytes).toBe(
      listing.files.reduce((sum, { name }) => sum + (files.get(name)?.length ?? NaN), 0),
    )
    expect(listing.origin).toEqual({ repository: hub.id, revision: 'main', commit: 'a'.repeat(40) })
    expect(Buffer.from(await listing.readConfig())).toEqual(files.get('config.json'))
    expect(hub.served).toEqual(['config.json'])
  })

  test.each(
    Object.entries<Map<string, Buffer>>({
      MODEL_CONFIG: repository(['model.safetensors']),
      MODEL_WEIGHTS: repository(['config.json']),
      JSON_SYNTAX: new Map([
        ...repository(['config.json']),
        ['model.safetensors.index.json', Buffer.from('{')],
      ]),
    }),
  )('is refused if something is missing: %s', async (code, files) => {
    const { hub, settings } = await hubCase(files)
    expect(await codeOf(() => lookUpModel(hub.id, settings))).toBe(code)
  })

  test('refuses invalid names and missing models', async () => {
    const { hub, settings } = await hubCase()
    expect(await codeOf(() => lookUpModel('../etc/passwd', settings))).toBe('HUB_ID')
    expect(await codeOf(() => lookUpModel(hub.id, settings, { revision: 'nowhere' }))).toBe('HUB_NOT_FOUND')
    expect(await codeOf(() => lookUpModel('someone/else', settings))).toBe('HUB_ACCESS')
  })
})

describe('a download', () => {
  /** Every byte is that of the list, whatever the servers send. */
  const isWhatTheListSays = async (download: Download, change: (body: Buffer) => Buffer): Promise<string> => {
    const { hub, settings } = await hubCase()
    const listing = await lookUpModel(hub.id, settings)
    hub.misbehave = ({ name, body, at, send }) => {
      if (name !== 'pytorch_model.bin' || at !== 'store') return false
      send(200, {}, change(body))
      return true
    }
    const got = await bytesOf(await download(listing, settings))
    const same = [...got].every(([name, bytes]) => bytes.equals(hub.files.get(name) ?? Buffer.alloc(0)))
    return same && got.size === needed.length ? 'the same' : 'another'
  }
  const flipped = (body: Buffer): Buffer => Buffer.concat([Buffer.of(body[0] ^ 1), body.subarray(1)])

  test('matches the list, or is refused', async () => {
    expect(await isWhatTheListSays(downloadModel, (body) => body)).toBe('the same')
    expect(await codeOf(() => isWhatTheListSays(downloadModel, flipped))).toBe('HUB_HASH')
    expect(await codeOf(() => isWhatTheListSays(downloadModel, (body) => body.subarray(1)))).toBe('HUB_SIZE')
    expect(await codeOf(() => isWhatTheListSays(downloadModel, (body) => Buffer.concat([body, body])))).toBe(
      'HUB_SIZE',
    )
  })

  test('a mutant that trusts the servers: killed', async () => {
    const trusting: Download = async ({ origin, files }, { endpoint }: HubSettings) => {
      const read = files.map(async ({ name }): Promise<[string, Blob]> => {
        const answer = await fetch(new URL(`${origin.repository}/resolve/${origin.commit}/${name}`, endpoint))
        return [name, await answer.blob()]
      })
      return new Map(await Promise.all(read))
    }
    expect(await isWhatTheListSays(trusting, (body) => body)).toBe('the same')
    expect(await isWhatTheListSays(trusting, flipped)).toBe('another')
  })

  test('reports progress, and retries a busy server', async () => {
    const { hub, settings, waits } = await hubCase()
    const listing = await lookUpModel(hub.id, settings)
    let refusals = 2
    hub.misbehave = ({ name, send }) => {
      if (name !== 'vocab.json' || refusals-- <= 0) return false
      send(503, {})
      return true
    }
    const told: number[] = []
    await downloadModel(listing, settings, {
      onProgress: ({ loadedBytes, totalBytes }) => told.push(loadedBytes / totalBytes),
    })
    expect(told.at(-1)).toBe(1)
    expect(told).toEqual(told.toSorted((a, b) => a - b))
    expect(waits).toHaveLength(2)
  })

  test('is not begun for a file larger than an array, and ends when aborted', async () => {
    const { hub, settings } = await hubCase()
    const listing = await lookUpModel(hub.id, settings)
    const huge = { ...listing, files: listing.files.map((file) => ({ ...file, size: 2 ** 31 })) }
    expect(await codeOf(() => downloadModel(huge, settings))).toBe('HUB_SIZE')
    const controller = new AbortController()
    const onProgress = (): void => controller.abort(new Error('enough'))
    await expect(downloadModel(listing, settings, { signal: controller.signal, onProgress })).rejects.toThrow(
      'enough',
    )
  })
})
