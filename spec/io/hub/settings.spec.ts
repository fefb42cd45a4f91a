/**
 * What a model may be called, and what the environment says about the hub: read as Python's huggingface_hub reads it.
 *
 * Tests src/io/hub/names.ts.
 */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, onTestFinished, test } from 'vitest'
import { checkRevision, hubFileOf, isModelId } from '../../../src/io/hub/names.ts'
import { readHubSettings } from '../../../src/io/hub/settings.ts'
import { law } from '../../harness/seed.ts'
import { codeOf, temporary } from './hub_cases.ts'

law(
  'a name of two plain parts is a model id, which its cache folder contains',
  {
    organisation: fc.stringMatching(/^[A-Za-z0-9]{1,20}$/),
    name: fc.stringMatching(/^[a-z0-9]([a-z0-9_]|[.-][a-z0-9]){0,30}$/),
  },
  ({ organisation, name }) => {
    expect(isModelId(`${organisation}/${name}`)).toBe(true)
    const file = `${organisation}/${name}/below/model.Q4_1.GGUF`
    expect(hubFileOf(file)).toEqual({ id: `${organisation}/${name}`, file: 'below/model.Q4_1.GGUF' })
    expect([isModelId(file), hubFileOf(`${organisation}/${name}`), hubFileOf(`../${file}`)]).toEqual([
      false,
      null,
      null,
    ])
    expect(hubFileOf(`${organisation}/${name}/model.bin`)).toBeNull()
    expect(isModelId(`${organisation}/../${name}`)).toBe(false)
    expect(checkRevision(name)).toBe(name)
  },
)

describe('the environment', () => {
  const names = [
    'HF_ENDPOINT',
    'HF_HUB_CACHE',
    'HF_HOME',
    'XDG_CACHE_HOME',
    'HF_HUB_OFFLINE',
    'HF_TOKEN',
    'HF_TOKEN_PATH',
    'HF_HUB_DISABLE_IMPLICIT_TOKEN',
    'HOME',
  ]

  /** Settings under these variables and no other. */
  async function settingsIn(variables: Record<string, string>): ReturnType<typeof readHubSettings> {
    const before = new Map(names.map((name) => [name, process.env[name]]))
    onTestFinished(() => restore(before))
    restore(new Map(names.map((name) => [name, variables[name]])))
    return readHubSettings()
  }

  function restore(values: ReadonlyMap<string, string | undefined>): void {
    for (const [name, value] of values) {
      if (value === undefined) delete process.env[name]
      else process.env[name] = value
    }
  }

  test('the cache is where Python looks for it', async () => {
    const all = { HF_HUB_CACHE: '/a', HF_HOME: '/b', XDG_CACHE_HOME: '/c', HOME: '/d' }
    const cacheIn = async (variables: Record<string, string>): Promise<string> =>
      (await settingsIn(variables)).cache
    expect(await cacheIn(all)).toBe('/a')
    expect(await cacheIn({ ...all, HF_HUB_CACHE: '' })).toBe('/b/hub')
    expect(await cacheIn({ XDG_CACHE_HOME: '/c', HOME: '/d' })).toBe('/c/huggingface/hub')
    expect(await cacheIn({ HOME: '/d' })).toBe('/d/.cache/huggingface/hub')
    expect(await cacheIn({ HOME: '/d', HF_HOME: '~/models' })).toBe('/d/models/hub')
  })

  test('the token is that of the variable, else of the file, and absent offline', async () => {
    const home = temporary()
    writeFileSync(join(home, 'token'), 'hf_file\n')
    const tokenIn = async (variables: Record<string, string>): Promise<string | null> =>
      (await settingsIn({ HF_HOME: home, ...variables })).token
    expect(await tokenIn({ HF_TOKEN: ' hf_variable ' })).toBe('hf_variable')
    expect(await tokenIn({})).toBe('hf_file')
    expect(await tokenIn({ HF_TOKEN_PATH: join(home, 'none') })).toBe(null)
    expect(await tokenIn({ HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' })).toBe(null)
    expect(await tokenIn({ HF_HUB_OFFLINE: '1', HF_TOKEN: 'hf_variable' })).toBe(null)
    for (const HF_TOKEN of ['hf_a\r\nhost: evil', 'hf a'])
      expect(await codeOf(() => settingsIn({ HF_TOKEN }))).toBe('HUB_TOKEN')
  })

  test('HF_HUB_OFFLINE is read as Python reads it, and so is HF_ENDPOINT', async () => {
    for (const [HF_HUB_OFFLINE, offline] of [
      ['1', true],
      ['ON', true],
      ['yes', true],
      ['True', true],
      ['0', false],
      ['', false],
    ] as const)
      expect((await settingsIn({ HF_HUB_OFFLINE })).offline).toBe(offline)
    expect((await settingsIn({})).endpoint.href).toBe('https://huggingface.co/')
    expect((await settingsIn({ HF_ENDPOINT: 'https://mirror/hf/' })).endpoint.href).toBe('https://mirror/hf/')
    for (const HF_ENDPOINT of ['mirror', 'file:///etc', 'https://me:secret@mirror', 'https://mirror/?a'])
      expect(await codeOf(() => settingsIn({ HF_ENDPOINT }))).toBe('HUB_ENDPOINT')
  })
})
