/**
 * Sessions of the library and of the command line: what goes on, what is refused, and that nothing is lost.
 */
import { copyFileSync, readdirSync, readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { collectText, ShadowModel, type GenerateOptions, type WholeText } from '../../src/library/index.ts'
import { InputError } from '../../src/tensor/errors.ts'
import { runInside, runJson } from '../cli/run_inside.ts'
import { temporaryFolder } from '../harness/temporary_folder.ts'
import { writeChatModel } from './chat_model.ts'

const folder = temporaryFolder()
const at = (name: string): string => join(folder, name)
const [model, other] = [at('model'), at('other')]
await writeChatModel(model)
await writeChatModel(other, { seed: 4 })
const opt = await ShadowModel.fromPretrained(model)
afterAll(() => opt.dispose())

const write = (options: GenerateOptions, prompt = ''): Promise<WholeText> =>
  collectText(opt.generate(prompt, { temperature: 1.2, ...options }))

describe('a text', () => {
  test.each<GenerateOptions>([
    {},
    { planner: 'random', sparsity: 0.5, every: 3 },
    { planner: 'griffin', sparsity: 0.5, cache: 'int8' },
    { planner: 'cats', sparsity: 0.6 },
    { planner: 'random', sparsity: 0.4, check: 3 },
  ])('goes on as if there were no break, with %o', async (options) => {
    const path = at(`text-${JSON.stringify(options).replaceAll(/\W+/g, '-')}`)
    const whole = await write({ ...options, maxTokens: 24 }, 'Once upon a time')
    const tokens: number[] = []
    for (const [maxTokens, prompt] of [
      [7, 'Once upon a time'],
      [9, ''],
      [8, ''],
    ] as const) {
      // Each part in a model of its own.
      const fresh = await ShadowModel.fromPretrained(model)
      const session = await fresh.openSession(path)
      const part = await collectText(
        fresh.generate(prompt, { temperature: 1.2, ...options, maxTokens, session }),
      )
      tokens.push(...part.tokens)
      expect(await session.save()).toBe(true)
      await fresh.dispose()
    }
    expect(tokens).toEqual(whole.tokens)
  })

  test('has its prompts where they were given, and its first special tokens once', async () => {
    const session = await opt.openSession(at('prompts'))
    const first = await write({ session, maxTokens: 3 }, 'Once upon')
    const before = opt.encode('Once upon', { prefix: true })
    expect(session.tokens).toEqual([...before, ...first.tokens])
    const second = await write({ session, maxTokens: 2 }, ' a time')
    expect(session.tokens).toEqual([...before, ...first.tokens, ...opt.encode(' a time'), ...second.tokens])
    expect([session.kind, session.messages]).toEqual(['text', []])
  })

  test('that a call is still writing is refused to another call, which changes nothing', async () => {
    const path = at('busy')
    const session = await opt.openSession(path)
    const alone = await write({ maxTokens: 6 }, 'Once upon')
    const busy = {
      code: 'BUSY',
      exitCode: 2,
      message: `session ${path}: expected one call at a time, got another while a call is still writing to it`,
    }
    const writing = opt.generate('Once upon', { temperature: 1.2, maxTokens: 6, session })
    const tokens: number[] = []
    for await (const { token } of writing) {
      tokens.push(token)
      await expect(write({ session, maxTokens: 1 }, ' a')).rejects.toMatchObject(busy)
      await expect(
        collectText(opt.chat([{ role: 'user', content: 'a' }], { session })),
      ).rejects.toMatchObject(busy)
    }
    expect(tokens).toEqual(alone.tokens)
    // Calls that begin together: one writes.
    const both = await Promise.allSettled([
      write({ session, maxTokens: 2 }),
      write({ session, maxTokens: 2 }),
    ])
    expect(both.map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    // A call that was refused for its options, or left, holds nothing.
    await expect(write({ session, cache: 'int8' })).rejects.toMatchObject({ code: 'SESSION' })
    for await (const _ of opt.generate('', { session })) break
    await write({ session, maxTokens: 1 })
  })

  test('that the model ended can be asked on, and what ended it is no part of it', async () => {
    const session = await opt.openSession(at('ended'))
    const text = await write({ session, maxTokens: 40, temperature: 0 }, 'a')
    const prompt = opt.encode('a', { prefix: true })
    expect(session.tokens).toEqual([...prompt, ...text.tokens])
    // By the same logits it ends again.
    if (text.end === 'stop')
      expect(await write({ session, maxTokens: 4, temperature: 0 })).toEqual({
        text: '',
        tokens: [],
        end: 'stop',
      })
  })

  test('ends where the context does, in one line', async () => {
    const session = await opt.openSession(at('full'))
    await write({ session, maxTokens: 396 }, 'a')
    const left = 400 - session.tokens.length
    await expect(write({ session, maxTokens: left + 1 })).rejects.toMatchObject({ code: 'CONTEXT_LENGTH' })
    // A refused call changes nothing.
    expect(session.tokens.length).toBe(400 - left)
    expect(await session.save()).toBe(true)
  })

  test('is not saved if an error has cut it, and the file stays', async () => {
    const path = at('cut')
    const session = await opt.openSession(path)
    const planner = { name: 'failing', by: 'layer', every: 2, choose: () => null } as const
    await write({ session, planner, maxTokens: 3 }, 'a')
    await session.save()
    const before = readFileSync(path)
    const choose = (): never => {
      throw new Error('no idea')
    }
    const failing = { ...planner, choose }
    const fresh = await opt.openSession(path)
    await expect(write({ session: fresh, planner: failing, maxTokens: 6 })).rejects.toThrow('no idea')
    expect(await fresh.save()).toBe(false)
    await expect(write({ session: fresh, planner, maxTokens: 1 }, 'b')).rejects.toMatchObject({
      code: 'SESSION',
    })
    expect(readFileSync(path).equals(before)).toBe(true)
  })

  test('is refused with other settings, a chat or another model, each in words', async () => {
    const path = at('settings')
    const session = await opt.openSession(path)
    const options = { planner: 'random', sparsity: 0.5, maxTokens: 2, session } as const
    await write(options, 'a')
    await session.save()
    const refusal = (change: GenerateOptions) =>
      write({ ...options, ...change }).then(
        () => 'none',
        (error: { code: string; message: string }) => `${error.code} ${error.message}`,
      )
    expect(await refusal({ sparsity: 0.25 })).toMatch(
      /^SESSION planner: expected random, .*sparsity 0.5, .* got random/,
    )
    expect(await refusal({ planner: 'dense', sparsity: undefined })).toMatch(
      /^SESSION .*got dense; the same goes on, another file begins anew$/,
    )
    expect(await refusal({ every: 2 })).toMatch(/^SESSION planner/)
    expect(await refusal({ cache: 'int8' })).toBe(
      `SESSION cache: expected f32, as in ${path}, got int8; the same goes on, another file begins anew`,
    )
    const chat = collectText(opt.chat([{ role: 'user', content: 'a' }], { session }))
    await expect(chat).rejects.toMatchObject({ code: 'SESSION' })
    expect(await refusal({})).toBe('none')
    const another = await ShadowModel.fromPretrained(other)
    await expect(another.openSession(path)).rejects.toMatchObject({ code: 'SESSION_MODEL', exitCode: 3 })
    await another.dispose()
    for (const [how, words] of [
      [{ storage: 'int8' }, 'storage: expected f32'],
      [{ backend: 'wasm-relaxed' }, 'backend: expected exact'],
    ] as const) {
      const fresh = await ShadowModel.fromPretrained(model, how)
      const session = await fresh.openSession(path)
      const text = collectText(fresh.generate('', { ...options, cache: 'f32', session }))
      await expect(text).rejects.toThrow(words)
      await fresh.dispose()
    }
    // Exact backends give the same bits.
    const reference = await ShadowModel.fromPretrained(model, { backend: 'reference' })
    const again = await reference.openSession(path)
    const drawn = { temperature: 1.2, session: again }
    const there = await collectText(reference.generate('', { ...options, ...drawn }))
    const here = await write({ ...options, session: await opt.openSession(path) })
    expect(there.tokens).toEqual(here.tokens)
    await reference.dispose()
  })

  test('a file with any byte cut off is refused', async () => {
    const path = at('whole')
    const session = await opt.openSession(path)
    await write({ session, maxTokens: 2 }, 'a')
    await session.save()
    const { size } = statSync(path)
    for (const length of [0, 7, 8, 100, size >> 1, size - 1]) {
      copyFileSync(path, at('part'))
      truncateSync(at('part'), length)
      await expect(opt.openSession(at('part'))).rejects.toBeInstanceOf(InputError)
    }
  })

  test('nothing is saved before a text, nor after the model', async () => {
    const session = await opt.openSession(at('none'))
    expect([await session.save(), session.kind, session.tokens]).toEqual([false, null, []])
    await expect(write({ session })).rejects.toMatchObject({ code: 'PROMPT' })
    session.dispose()
    await expect(session.save()).rejects.toMatchObject({ code: 'DISPOSED' })
    expect(readdirSync(folder)).not.toContain('none')
  })
})

test('a chat whose answer is still being written is refused to another call', async () => {
  const session = await opt.openSession(at('busy-chat'))
  const ask = (content: string) =>
    opt.chat([...session.messages, { role: 'user', content }], { session, maxTokens: 2 })
  const first = ask('a')
  await first.next()
  await expect(ask('b').next()).rejects.toMatchObject({ code: 'BUSY' })
  await first.return('length')
  await collectText(ask('c'))
  expect(session.messages.filter(({ role }) => role === 'user').map(({ content }) => content)).toEqual([
    'a',
    'c',
  ])
})

describe('the command line', () => {
  const generate = ['generate', '-m', model, '--temperature', '1.2', '-q']

  test('generate goes on with the text of a file, also after ctrl-C', async () => {
    const path = at('cli')
    const whole = await runJson(...generate, 'Once upon', '--max-tokens', '20')
    const args = [...generate, '--json', '--session', path]
    const stopped = await runInside([...generate, 'Once upon', '--session', path, '--max-tokens', '20'], {
      interruptWhen: ({ stdout }) => stdout.length > 12,
    })
    expect(stopped.code).toBe(130)
    const session = await opt.openSession(path)
    const done = session.tokens.length - opt.encode('Once upon', { prefix: true }).length
    expect(done).toBeGreaterThan(0)
    expect(done).toBeLessThan(20)
    const rest = await runInside([...args, '', '--max-tokens', String(20 - done)])
    const { tokens } = JSON.parse(rest.stdout) as { tokens: number[] }
    expect(tokens).toEqual((whole.tokens as number[]).slice(done))
  })

  test('chat goes on with the messages of a file and with its cache', async () => {
    const path = at('cli-chat')
    const chat = async (input: string[], ...more: string[]) => {
      const { code, stdout } = await runInside(
        ['chat', '-m', model, '--max-tokens', '5', '--json', ...more],
        {
          input,
        },
      )
      expect(code).toBe(0)
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { tokens: number[]; prompt: { tokens: number; reused: number } })
    }
    const whole = await chat(['once', 'and then', 'at last'], '--system', 'Be brief.')
    const shown = ({ tokens, prompt }: (typeof whole)[number]) => ({ tokens, prompt })
    const parts = [
      await chat(['once'], '--session', path, '--system', 'Be brief.'),
      await chat(['and then'], '--session', path),
      await chat(['at last'], '--session', path),
    ].flat()
    expect(parts.map(shown)).toEqual(whole.map(shown))
    expect(parts[2].prompt.reused).toBeGreaterThan(parts[1].prompt.reused)
    const { messages } = await opt.openSession(path)
    expect(messages.map(({ role }) => role)).toEqual([
      'system',
      ...Array.from({ length: 3 }, () => ['user', 'assistant']).flat(),
    ])
    // One message of a chat is another turn of it.
    const { stdout } = await runInside([
      ...generate,
      '--chat',
      'more',
      '--session',
      path,
      '--max-tokens',
      '2',
    ])
    expect(stdout).not.toBe('')
    expect((await opt.openSession(path)).messages.length).toBe(9)
    // What is forgotten is forgotten in the file too.
    await chat(['/new'], '--session', path)
    expect((await opt.openSession(path)).messages).toEqual([])
  })

  test('a chat goes on with the planner and the shares of its last answer, of which a flag replaces what it names', async () => {
    const path = at('chosen')
    const said = async (input: string[], ...more: string[]): Promise<unknown[]> => {
      const args = ['chat', '-m', model, '--max-tokens', '3', '--json', '--session', path, ...more]
      const { code, stdout } = await runInside(args, { input })
      expect(code).toBe(0)
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { planner: string; sparsity: number })
        .map(({ planner, sparsity }) => [planner, sparsity])
    }
    expect(await said(['a', '/planner random', '/sparsity 0.25', 'a'])).toEqual([
      ['dense', 0],
      ['random', 0.25],
    ])
    expect(await said(['a'])).toEqual([['random', 0.25]])
    // What was set and answered nothing is not kept.
    expect(await said(['/sparsity 0.75'])).toEqual([])
    expect(await said(['a'])).toEqual([['random', 0.25]])
    const one = ['generate', 'a', '-m', model, '--chat', '--max-tokens', '2', '--json', '--session', path]
    const { stdout } = await runInside(one)
    expect(JSON.parse(stdout)).toMatchObject({ planner: 'random', sparsity: 0.25 })
    expect(await said(['a'], '--planner', 'dense')).toEqual([['dense', 0]])
    expect(await said(['a'])).toEqual([['dense', 0]])
    expect(await said(['a'], '--planner', 'random')).toEqual([['random', 0.25]])
    expect(await said(['a'], '--neuron-sparsity', '0.75')).toEqual([['random', 0.25]])
    expect(await said(['a'], '--head-sparsity', '0.5')).toEqual([['random', 0.25]])
    expect((await opt.openSession(path)).choice).toEqual({
      planner: 'random',
      sparsity: 0.25,
      headSparsity: 0.5,
      neuronSparsity: 0.75,
      maxTokens: 3,
      temperature: 0,
      seed: 0,
    })
    // One share of all replaces those of heads and of neurons.
    expect(await said(['a'], '--sparsity', '0.5')).toEqual([['random', 0.5]])
    expect((await opt.openSession(path)).choice).toEqual({
      planner: 'random',
      sparsity: 0.5,
      maxTokens: 3,
      temperature: 0,
      seed: 0,
    })
    expect(JSON.parse((await runInside([...one, '--sparsity', '0.75'])).stdout)).toMatchObject({
      planner: 'random',
      sparsity: 0.75,
    })
    expect(await said(['a'], '--planner', 'dense')).toEqual([['dense', 0]])
    // After a dense answer a share means the usual planner, here one without its predictor.
    const shared = await runInside(['chat', '-m', model, '--session', path, '--sparsity', '0.5'])
    expect(shared.stderr).toContain('planner shadow: expected a predictor')
  })

  test('a chat goes on with the limit of tokens of its last answer, unless a flag replaces it', async () => {
    const path = at('limited')
    const counts = async (input: string[], ...more: string[]): Promise<number[]> => {
      const args = ['chat', '-m', model, '--temperature', '9', '--json', '--session', path, ...more]
      const { stdout } = await runInside(args, { input })
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => (JSON.parse(line) as { tokens: number[] }).tokens.length)
    }
    expect(await counts(['a', '/max-tokens 2', 'a'], '--max-tokens', '4')).toEqual([4, 2])
    expect(await counts(['a'])).toEqual([2])
    expect(await counts(['a'], '--planner', 'random')).toEqual([2])
    expect(await counts(['a'], '--sparsity', '0.25')).toEqual([2])
    expect(await counts(['a'], '--max-tokens', '3')).toEqual([3])
    expect((await opt.openSession(path)).choice).toEqual({
      planner: 'random',
      sparsity: 0.25,
      maxTokens: 3,
      temperature: 9,
      seed: 0,
    })
  })

  test('a chat goes on with the settings by which the tokens of its last answer were drawn, unless flags replace them', async () => {
    const path = at('drawn')
    const counts = async (input: string[], ...more: string[]): Promise<[number, number][]> => {
      const args = ['chat', '-m', model, '--max-tokens', '2', '--json', '--session', path, ...more]
      const { stdout } = await runInside(args, { input })
      return stdout
        .split('\n')
        .filter(Boolean)
        .map((line) => JSON.parse(line) as { temperature: number; seed: number })
        .map(({ temperature, seed }) => [temperature, seed])
    }
    expect(await counts(['a', '/temperature 0.5', '/top-k 3', '/seed 7', 'a'])).toEqual([
      [0, 0],
      [0.5, 7],
    ])
    expect(await counts(['a'])).toEqual([[0.5, 7]])
    expect(await counts(['a'], '--seed', '0')).toEqual([[0.5, 0]])
    expect((await opt.openSession(path)).choice).toMatchObject({ temperature: 0.5, topK: 3, seed: 0 })
    const args = ['generate', 'a', '-m', model, '--chat', '--max-tokens', '2', '--json', '--session', path]
    expect(JSON.parse((await runInside(args)).stdout)).toMatchObject({ temperature: 0.5, topK: 3 })
    expect(await counts(['a'], '--temperature', '0')).toEqual([[0, 0]])
    expect(await counts(['a'])).toEqual([[0, 0]])
  })

  test('a planner that a chat was left with, and whose files are not named, is one line before the first message', async () => {
    const path = at('left')
    const session = await opt.openSession(path)
    const messages = [{ role: 'user', content: 'a' }]
    for await (const _ of opt.chat(messages, { session, maxTokens: 1 }));
    expect(session.choice).toEqual({ planner: 'dense', maxTokens: 1 })
    session.say(session.messages, { planner: 'static', sparsity: 0.3 })
    await session.save()
    const args = ['chat', '-m', model, '--session', path]
    const refused = await runInside(args, { input: ['a'] })
    expect([refused.code, refused.stdout]).toEqual([4, ''])
    expect(refused.stderr).toContain('[CALIBRATION_MISSING]')
    expect((await runInside([...args, '--planner', 'dense'], { input: ['/planner'] })).code).toBe(0)
  })

  test('a file that cannot be gone on with is one line, and stays as it is', async () => {
    const path = at('broken')
    writeFileSync(path, 'no session')
    const broken = await runInside([...generate, 'a', '--session', path])
    expect([broken.code, broken.stdout]).toEqual([3, ''])
    expect(broken.stderr).toMatch(/^shadowllm: .* \[SESSION\]\n$/)
    expect(readFileSync(path, 'utf8')).toBe('no session')
    const missing = await runInside([...generate, 'a', '--session', at('no/such')])
    expect([missing.code, missing.stderr]).toEqual([2, expect.stringContaining('[OUTPUT]')])
  })
})
