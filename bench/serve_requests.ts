/**
 * What a request costs a client: short completions, chats, scored texts and tokens, of this tree and of another one, in turns.
 *
 *   node scripts/node.mjs --conditions=@shadowllm/source bench/serve_requests.ts --before DIR [--model DIR] [--only WORDS]
 *     [--rounds 21] [--requests 30]
 *
 * Both trees serve the same model, each in a process of its own. A round asks each of them for so many requests of a kind, one
 * after another and eight at a time. Told are medians over the rounds, and the ratio of this tree to the other.
 */
import { spawn, type ChildProcess } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { formatColumns } from '../src/cli/words.ts'
import { commandArguments, machine, write } from '../src/platform/platform.ts'

const { values } = parseArgs({
  args: commandArguments(),
  options: {
    before: { type: 'string' },
    model: { type: 'string' },
    only: { type: 'string', default: '' },
    rounds: { type: 'string', default: '21' },
    requests: { type: 'string', default: '30' },
  },
})
const here = fileURLToPath(new URL('..', import.meta.url))

/** A kind of request: its path and its body. */
type Kind = readonly [path: string, body: object]

const text = 'The captain looked at the sea, and the sea looked back at him. '
const kinds: Readonly<Record<string, Kind>> = {
  'completion of 1 token': ['/v1/completions', { prompt: text, max_tokens: 1, temperature: 0 }],
  'completion of 16 tokens': ['/v1/completions', { prompt: text, max_tokens: 16, temperature: 0 }],
  'scored text': [
    '/v1/completions',
    { prompt: text.repeat(2), max_tokens: 1, echo: true, logprobs: 1, temperature: 0 },
  ],
  '8 scored texts': [
    '/v1/completions',
    { prompt: Array.from({ length: 8 }, () => text), max_tokens: 1, echo: true, logprobs: 1, temperature: 0 },
  ],
  'text of 12 KiB to be tokenized': ['/tokenize', { prompt: text.repeat(200) }],
  'text of 60 KiB to be tokenized': ['/tokenize', { prompt: text.repeat(1000) }],
  'word to be tokenized': ['/tokenize', { prompt: 'captain' }],
  chat: [
    '/v1/chat/completions',
    { messages: [{ role: 'user', content: 'What is the sea?' }], max_tokens: 4, temperature: 0 },
  ],
  'chat of 20 messages': [
    '/v1/chat/completions',
    {
      messages: Array.from({ length: 21 }, (_, i) => ({
        role: i % 2 === 0 ? 'user' : 'assistant',
        content: 'What?',
      })),
      max_tokens: 1,
      temperature: 0,
    },
  ],
}

interface Serving {
  readonly url: string
  readonly child: ChildProcess
}

async function serve(root: string): Promise<Serving> {
  const model = values.model === undefined ? [] : ['-m', values.model]
  const args = ['--conditions=@shadowllm/source', 'src/cli/main.ts', 'serve', '--port', '0', ...model]
  const child = spawn(process.execPath, args, { cwd: root, stdio: ['ignore', 'pipe', 'inherit'] })
  const url = await new Promise<string>((resolve, reject) => {
    child.stdout.setEncoding('utf8').once('data', (line: string) => resolve(line.trim()))
    child.once('exit', (code) => reject(new Error(`${root}: expected an address, got exit code ${code}`)))
  })
  return { url, child }
}

/** Asks; 404 and other refusals are an error. @returns milliseconds */
async function ask({ url }: Serving, [path, body]: Kind): Promise<number> {
  const start = performance.now()
  const headers = { 'content-type': 'application/json' }
  const response = await fetch(url + path, { method: 'POST', headers, body: JSON.stringify(body) })
  const answer = await response.text()
  if (response.status !== 200) throw new Error(`${path}: ${answer}`)
  return performance.now() - start
}

const median = (numbers: readonly number[]): number =>
  numbers.toSorted((a, b) => a - b)[Math.floor(numbers.length / 2)]

/** Milliseconds of one request alone, and requests in a second of eight clients. */
async function round(serving: Serving, kind: Kind, count: number): Promise<readonly [number, number]> {
  const alone: number[] = []
  for (let i = 0; i < count; i++) alone.push(await ask(serving, kind))
  const start = performance.now()
  let left = count
  const client = async (): Promise<void> => {
    while (left-- > 0) await ask(serving, kind)
  }
  await Promise.all(Array.from({ length: 8 }, client))
  return [median(alone), (1000 * count) / (performance.now() - start)]
}

const trees = [here, values.before ?? here]
const servings = await Promise.all(trees.map(serve))
const rows: string[][] = [['request', 'ms alone', 'before', 'ratio', 'requests/s', 'before', 'ratio']]
for (const [name, kind] of Object.entries(kinds)) {
  if (!name.includes(values.only)) continue
  const rounds: (readonly [number, number])[][] = [[], []]
  try {
    for (const serving of servings) await round(serving, kind, 5 * Number(values.requests))
  } catch (error) {
    rows.push([name, (error as Error).message.slice(0, 60)])
    continue
  }
  for (let i = 0; i < Number(values.rounds); i++)
    for (const j of i % 2 === 0 ? [0, 1] : [1, 0])
      rounds[j].push(await round(servings[j], kind, Number(values.requests)))
  const [alone, many] = [0, 1].map((of) => rounds.map((measured) => median(measured.map((one) => one[of]))))
  const shown = ([now, before]: number[]): string[] => [
    now.toFixed(2),
    before.toFixed(2),
    (now / before).toFixed(3),
  ]
  rows.push([name, ...shown(alone), ...shown(many)])
}
for (const { child } of servings) child.kill()
const { processor, threads } = machine()
await write(
  'stdout',
  `${processor}, ${threads} threads; medians of ${values.rounds} rounds\n${formatColumns(rows)}\n`,
)
