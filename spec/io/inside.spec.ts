/**
 * No file of a model is read from outside its folder, whatever links lie in it; the cache of the hub links to its blobs.
 */
import {
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { convertCheckpoint } from '../../src/io/convert.ts'
import { expectInside } from '../../src/io/inside.ts'
import { chatFiles, openModelFolder } from '../../src/io/load.ts'
import { tokenizerFiles } from '../../src/io/tokenizer.ts'
import { writeModel } from '../cli/options/small_files.ts'

const folder = mkdtempSync(join(tmpdir(), 'shadowllm-inside-'))
afterAll(() => rmSync(folder, { recursive: true }))

let count = 0
let model = ''
const secret = join(folder, 'secret')
writeFileSync(secret, '{"secret": 1}')
beforeEach(async () => {
  model = join(folder, `${count++}`, 'model')
  mkdirSync(join(model, '..'))
  await writeModel(model, 3)
})

const open = async (path: string): Promise<string> => {
  const { source } = await openModelFolder(path)
  await source.close()
  return 'opened'
}

describe('a link out of the folder is refused:', () => {
  const names = ['config.json', 'model.safetensors', ...tokenizerFiles, ...chatFiles]
  test.each(names)('%s', async (name) => {
    rmSync(join(model, name), { force: true })
    symlinkSync(secret, join(model, name))
    const refused = {
      code: 'PATH_UNSAFE',
      message: expect.stringContaining(`${name}: expected a file inside ${model}`),
    }
    await expect(open(model)).rejects.toMatchObject(refused)
    await expect(convertCheckpoint(model, join(model, '../converted'))).rejects.toMatchObject(refused)
  })

  test('a shard', async () => {
    renameSync(join(model, 'model.safetensors'), join(folder, 'shard'))
    symlinkSync(join(folder, 'shard'), join(model, 'one.safetensors'))
    const index = { weight_map: { 'model.decoder.embed_tokens.weight': 'one.safetensors' } }
    writeFileSync(join(model, 'model.safetensors.index.json'), JSON.stringify(index))
    await expect(open(model)).rejects.toMatchObject({
      code: 'PATH_UNSAFE',
      message: expect.stringContaining('one.safetensors'),
    })
  })

  test('by way of another link, or of a folder', async () => {
    mkdirSync(join(model, 'inner'))
    symlinkSync(folder, join(model, 'inner/up'))
    rmSync(join(model, 'chat_template.jinja'), { force: true })
    symlinkSync('inner/up/secret', join(model, 'chat_template.jinja'))
    await expect(open(model)).rejects.toMatchObject({ code: 'PATH_UNSAFE' })
  })
})

describe('what is inside is read:', () => {
  test('a link to another file of the folder', async () => {
    mkdirSync(join(model, 'inner'))
    renameSync(join(model, 'config.json'), join(model, 'inner/config.json'))
    symlinkSync('inner/config.json', join(model, 'config.json'))
    expect(await open(model)).toBe('opened')
  })

  test('a folder that is a link itself, and a file of weights in it', async () => {
    symlinkSync(model, join(model, '../linked'))
    expect(await open(join(model, '../linked'))).toBe('opened')
    expect(await open(join(model, '../linked/model.safetensors'))).toBe('opened')
  })

  test('a snapshot of the hub, whose files are blobs of its model and of no other', async () => {
    const hub = join(model, '../models--a--b')
    const snapshot = join(hub, 'snapshots/c0ffee')
    cpSync(model, join(hub, 'blobs'), { recursive: true })
    mkdirSync(snapshot, { recursive: true })
    for (const name of ['config.json', 'model.safetensors', 'vocab.json', 'merges.txt'])
      symlinkSync(`../../blobs/${name}`, join(snapshot, name))
    expect(await open(snapshot)).toBe('opened')
    mkdirSync(join(hub, '../models--a--c/blobs'), { recursive: true })
    writeFileSync(join(hub, '../models--a--c/blobs/template'), readFileSync(secret))
    symlinkSync('../../../models--a--c/blobs/template', join(snapshot, 'chat_template.jinja'))
    await expect(open(snapshot)).rejects.toMatchObject({ code: 'PATH_UNSAFE' })
  })

  test('nothing where there is nothing', async () => {
    await expect(expectInside(join(folder, 'none'), ['a'])).resolves.toBeUndefined()
    await expect(expectInside(model, ['none'])).resolves.toBeUndefined()
  })
})
