/**
 * Each figure of the annotated page, read back from its picture, table and words, is what its step holds.
 *
 * Layers, heads, neurons, tokens, sizes of heads and following tokens are all different in number, so that none can stand for
 * another. A new figure must be read here. So is the strip of small figures; and values that the page carries come back bit for bit.
 *
 * Tests src/web/spec_page/given_values.ts, src/web/spec_page/quick_steps.ts, src/web/spec_page/same_steps.ts and
 * src/web/spec_page/strip.ts.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { logitsDivergence } from '../../../src/engine/divergence.ts'
import { Random } from '../../../src/tensor/random.ts'
import type { Markup } from '../../../src/experiments/report/markup.ts'
import { brief, percent, rankWords, visible } from '../../../src/web/view/dom.ts'
import { rankUnits } from '../../../src/web/trace/ranking.ts'
import { curve, figures, type Figure } from '../../../src/web/spec_page/figures.ts'
import type { SomeSteps, Steps } from '../../../src/web/spec_page/method.ts'
import { packValues, unpackValues } from '../../../src/web/spec_page/given_values.ts'
import { budgetOf, randomScores } from '../../../src/web/spec_page/quick_steps.ts'
import { sameBits } from '../../../src/web/spec_page/same_steps.ts'
import {
  addressOfSettings,
  liveDifference,
  livePageAddress,
  readSettings,
  scopes,
  scoreSources,
  specificationAddress,
  withoutFragmentState,
  type Settings,
} from '../../../src/web/spec_page/settings.ts'
import { stations } from '../../../src/web/spec_page/strip.ts'
import { readState } from '../../../src/web/page_state.ts'

const [layers, heads, neurons, size, tokens, following, vocabulary] = [4, 3, 11, 2, 5, 6, 13]
const kinds = ['heads', 'neurons'] as const

const random = new Random(7)
const numbers = (length: number): Float32Array =>
  Float32Array.from({ length }, () => random.uniform() * 4 - 1)
const unitRows = (of: (length: number) => Float32Array): Steps['scores'] => ({
  heads: Array.from({ length: layers }, () => of(heads)),
  neurons: Array.from({ length: layers }, () => of(neurons)),
})
const pieces = (count: number, name: string): string[] =>
  Array.from({ length: count }, (_, i) => (i === 1 ? '\n' : `${name}${i}`))

const text = (name: string): Steps['dense'] => ({
  logits: numbers(vocabulary),
  ids: Int32Array.from({ length: following }, (_, i) => i),
  pieces: pieces(following, name),
  along: numbers(following * vocabulary),
})
const steps: Steps = {
  tokens: { ids: Int32Array.from({ length: tokens }, (_, i) => 40 + i), pieces: pieces(tokens, 'p') },
  context: { values: numbers(tokens * heads * size), heads },
  features: numbers(heads * size),
  predicted: unitRows(numbers),
  dense: text('d'),
  plainact: unitRows((length) => numbers(length).map(Math.abs)),
  scores: unitRows(numbers),
  mask: unitRows((length) => Float32Array.from({ length }, () => Math.round(random.uniform()))),
  masked: text('m'),
  next: [
    { id: 3, text: 'x', dense: 0.5, masked: 0.125 },
    { id: 4, text: 'y', dense: 0.25, masked: 0.75 },
  ],
}
const settings: Settings = { prompt: '', source: 'random', sparsity: 0.3, scope: 'hybrid' }

// ---- Reading ----------------------------------------------------------------------------------------------

/** A heat map as rows of shades, from 0 to 7. */
function readMap(html: string, key: string): number[][] {
  const found = new RegExp(
    `data-map="${key.replaceAll('.', '\\.')}"[^>]*viewBox="0 0 (\\d+) (\\d+)"[^>]*>(.*?)</svg>`,
    's',
  ).exec(html)
  if (found === null) throw new Error(`${key}: expected a map`)
  const [width, height] = [Number(found[1]), Number(found[2])]
  const rows = Array.from({ length: height }, () => Array.from({ length: width }, () => 0))
  for (const [, d, opacity] of found[3].matchAll(/<path d="([^"]*)" stroke-opacity="([\d.]+)"/g))
    for (const [, x, y, length] of d.matchAll(/M(\d+) (\d+)\.5h(\d+)/g))
      rows[Number(y)].fill(Math.round(Number(opacity) * 7), Number(x), Number(x) + Number(length))
  return rows
}

/** The shade of each number: which eighth of all of them it is in, counted from those below it. */
function shadesOf(rows: readonly Float32Array[]): number[][] {
  const all = rows.flatMap((row) => [...row])
  return rows.map((row) =>
    Array.from(row, (x) => Math.floor((8 * all.filter((other) => other < x).length) / all.length)),
  )
}

/** The cells of the table, its headings first. */
function readTable(html: string): string[][] {
  const [, table] = /<table class="values">(.*?)<\/table>/s.exec(html) ?? []
  return [...(table ?? '').matchAll(/<tr>(.*?)<\/tr>/gs)].map(([, row]) =>
    [...row.matchAll(/<t[hd][^>]*>(.*?)<\/t[hd]>/gs)].map(([, cell]) => cell),
  )
}

const captionOf = (html: string): string => /<figcaption>(.*?)<\/figcaption>/s.exec(html)?.[1] ?? ''
const ranked = (rows: readonly Float32Array[]): Float32Array[] => rows.slice(1)
const sum = (row: ArrayLike<number>): number => Array.from(row).reduce((total, x) => total + x, 0)

/** The scale of a map: its ends, and among what colours rank. */
function checkScale(html: string, rows: readonly Float32Array[], among: string): void {
  const all = rows.flatMap((row) => [...row])
  const scales = html.matchAll(/class="scale">(\S+) <svg.*?<\/svg> (\S+): colour by rank among (.*?)</gs)
  const [, least, most] = [...scales].find(([, , , own]) => own === among) ?? []
  expect([least, most]).toEqual([Math.min(...all), Math.max(...all)].map(brief))
}

/** The maps of scores in place and in order, their scales, and their table. */
function checkUnits(html: string, units: Steps['scores'], key: string): void {
  for (const kind of kinds) {
    expect(readMap(html, `${key}.${kind}`)).toEqual(shadesOf(ranked(units[kind])))
    const inOrder = ranked(units[kind]).map((row) => row.toSorted().toReversed())
    expect(readMap(html, `${key}.${kind}.sorted`)).toEqual(shadesOf(inOrder))
    checkScale(html, inOrder, `the ${kind} of all layers`)
  }
  const [, ...rows] = readTable(html)
  expect(rows).toEqual(
    Array.from({ length: layers }, (_, l) => [
      String(l),
      Array.from(units.heads[l], brief).join(' '),
      brief(sum(units.neurons[l]) / neurons),
      brief(Math.min(...units.neurons[l])),
      brief(Math.max(...units.neurons[l])),
    ]),
  )
}

/** What each figure must show. */
const checks: Readonly<Record<string, (html: string) => void>> = {
  'opt.opt': (html) => {
    const chips = [...html.matchAll(/<li><span class="piece">(.*?)<\/span><span class="id">(\d+)<\/span>/gs)]
    expect(chips.map(([, piece, id]) => [piece, Number(id)])).toEqual(
      Array.from({ length: tokens }, (_, t) => [visible(steps.tokens.pieces[t]), 40 + t]),
    )
    expect(captionOf(html)).toContain(`The prompt is ${tokens} tokens`)
  },
  'opt.layer': (html) => {
    const { values } = steps.context
    const lengths = Array.from({ length: heads }, (_, h) =>
      Float32Array.from({ length: tokens }, (_, t) => {
        let squares = 0
        for (let k = 0; k < size; k++) squares += values[(t * heads + h) * size + k] ** 2
        return Math.sqrt(squares)
      }),
    )
    expect(readMap(html, 'context')).toEqual(shadesOf(lengths))
    checkScale(html, lengths, 'all heads and tokens')
    expect(readTable(html)).toEqual([
      ['head', ...steps.tokens.pieces.map(visible)],
      ...lengths.map((row, h) => [String(h), ...Array.from(row, brief)]),
    ])
    expect(captionOf(html)).toContain(`${heads} heads of layer 0`)
    expect(captionOf(html)).toContain(`${size} numbers (down)`)
  },
  'plainact.plainact': (html) => {
    checkUnits(html, steps.plainact, 'plainact')
    expect(captionOf(html)).toContain(`<q>${steps.dense.pieces.map(visible).join('')}</q>`)
  },
  'predictor.features': (html) => {
    const bars = [...html.matchAll(/M([\d.]+) 0V(-?[\d.]+)/g)].map(([, x, y]) => [Number(x), Number(y)])
    const most = Math.max(...steps.features.map(Math.abs))
    expect(bars.length).toBe(heads * size)
    bars.forEach(([x, y], i) => {
      expect(x).toBe(i + 0.5)
      expect(y).toBeCloseTo(-steps.features[i] / most, 3)
    })
    expect(captionOf(html)).toContain(`The ${heads * size} features`)
    expect(captionOf(html)).toContain(`The longest bar is ${brief(most)}.`)
    expect(html).toContain(`>${Array.from(steps.features, brief).join(' ')}<`)
  },
  'predictor.predict': (html) => checkUnits(html, steps.predicted, 'predicted'),
  'select.selectMask': (html) => {
    for (const kind of kinds) {
      const mask = ranked(steps.mask[kind])
      expect(readMap(html, `mask.${kind}`)).toEqual(mask.map((row) => Array.from(row, (kept) => 7 * kept)))
      const inOrder = ranked(steps.scores[kind]).map((row, l) =>
        Array.from(row.keys())
          .toSorted((a, b) => row[b] - row[a])
          .map((u) => 7 * mask[l][u]),
      )
      expect(readMap(html, `mask.${kind}.sorted`)).toEqual(inOrder)
      const count = (layers - 1) * steps.mask[kind][0].length
      const units = ranked(steps.scores[kind])
        .flatMap((row, l) => Array.from(row, (score, u) => ({ score, kept: mask[l][u] })))
        .toSorted((a, b) => b.score - a.score)
      const sorted = units.map(({ score }) => score)
      const kept = sum(units.map((unit) => unit.kept))
      const leading = units.findIndex((unit) => unit.kept === 0)
      expect(html).toContain(`${kept} of ${count} kept`)
      if (leading > 0) expect(html).toContain(`the best ${leading}`)
      expect(html).toContain(`<span>${kind}, highest first →</span>`)
      const kind1 = new RegExp(`Scores of ${kind}, sorted(.*?)</svg>`, 's').exec(html)?.[1] ?? ''
      const [, cut] = /class="cut" d="M([\d.]+) 0V40"/.exec(kind1) ?? []
      expect(Number(cut)).toBeCloseTo((100 * leading) / count, 2)
      // What is shaded begins and ends with each run of kept units.
      const [, shaded] = /class="kept" d="([^"]*)"/.exec(kind1) ?? []
      const isShaded = units.map(() => 0)
      for (const [, left, right] of shaded.matchAll(/M([\d.]+) 40[^V]*L([\d.]+) [\d.]+V40Z/g))
        isShaded.fill(1, ...[left, right].map((x) => Math.round((Number(x) * count) / 100)))
      expect(isShaded).toEqual(units.map((unit) => unit.kept))
      const curve = /<path d="M([^"]*)"\/><path class="cut"/.exec(kind1)?.[1] ?? ''
      const points = curve.split('L').map((point) => point.split(' ').map(Number))
      const least = Math.min(0, sorted[count - 1])
      // So few scores leave none above the picture; those of eight times as many units do.
      expect(html).toContain(`<p>${brief(sorted[0])} ↑ score</p>`)
      expect(html).toContain(`<p><span>${brief(least)}</span> <span>${kind}, `)
      expect(points.length).toBe(count)
      points.forEach(([x, y], i) => {
        expect(x).toBeCloseTo((100 * i) / count, 1)
        expect(y).toBeCloseTo(40 * Math.max(0, 1 - (sorted[i] - least) / (sorted[0] - least)), 1)
      })
      const all = sum(ranked(steps.plainact[kind]).map(sum))
      const found = sum(ranked(steps.plainact[kind]).map((row, l) => sum(row.map((x, u) => x * mask[l][u]))))
      expect(captionOf(html)).toContain(`${percent(found / all)} of the plainact of ${kind}`)
    }
    expect(captionOf(html)).toContain(`sparsity ${percent(settings.sparsity)}, ${settings.scope} scope`)
    expect(captionOf(html)).toContain(`layers 1 to ${layers - 1}`)
    expect(readTable(html)).toEqual([
      ['layer', 'heads kept', 'neurons kept'],
      ...Array.from({ length: layers }, (_, l) => [
        String(l),
        String(sum(steps.mask.heads[l])),
        String(sum(steps.mask.neurons[l])),
      ]),
    ])
  },
  'shadowllm.generate': (html) => {
    const rows = readTable(html).slice(1)
    expect(rows.map(([word]) => word)).toEqual(['x', 'y'])
    steps.next.forEach(({ dense, masked }, i) => {
      for (const [kind, share, cell] of [
        ['dense', dense, rows[i][1]],
        ['masked', masked, rows[i][2]],
      ] as const) {
        expect(cell).toContain(`class="bar ${kind}"`)
        expect(cell).toContain(`h${(100 * share).toFixed(1)}"`)
        expect(cell).toContain(percent(share, 1))
      }
    })
    const { dense, masked } = steps
    expect(captionOf(html)).toContain(`by ${brief(logitsDivergence(dense.logits, masked.logits))} nats`)
    // Not of the first token alone: the mean along the text.
    const all = dense.pieces.map((_, t) => {
      const [p, q] = [dense, masked].map(({ along }) => along.slice(t * vocabulary, (t + 1) * vocabulary))
      return logitsDivergence(p, q)
    })
    const mean = all.reduce((sum, one) => sum + one, 0) / following
    expect(captionOf(html)).toContain(`the mean is ${brief(mean)} nats`)
    const furthest = Math.max(...dense.logits.map((logit, v) => Math.abs(logit - masked.logits[v])))
    expect(captionOf(html)).toContain(`at most ${brief(furthest)}`)
    for (const name of ['dense', 'masked'] as const)
      expect(html).toContain(`${name}</span> … ${steps[name].pieces.map(visible).join('')}`)
  },
}

// ---- The law ----------------------------------------------------------------------------------------------

type Draw = Figure['draw']

test('every figure of the page is read here, and no other', () =>
  expect(Object.keys(checks)).toEqual(figures.map(({ address }) => address)))

const drawn = (draw: Draw, of: Steps): string => (draw(of, settings) as Markup).html

test.each(figures)('the figure of $address shows what its step holds', ({ address, draw }) =>
  checks[address](drawn(draw, steps)),
)

const layersTurned = (units: Steps['scores']): Steps['scores'] => ({
  heads: units.heads.toReversed(),
  neurons: units.neurons.toReversed(),
})

test.each(
  Object.entries<Partial<Steps>>({
    'exchanges heads and tokens': {
      context: {
        heads,
        values: steps.context.values.map((_, i, all) => {
          const [h, t, k] = [Math.floor(i / (tokens * size)), Math.floor(i / size) % tokens, i % size]
          return all[(t * heads + h) * size + k]
        }),
      },
    },
    'takes the number of tokens for that of heads': { context: { ...steps.context, heads: tokens } },
    'turns the layers': {
      predicted: layersTurned(steps.predicted),
      plainact: layersTurned(steps.plainact),
      scores: layersTurned(steps.scores),
      mask: layersTurned(steps.mask),
    },
    'exchanges dense and masked': {
      dense: steps.masked,
      masked: steps.dense,
      next: steps.next.map((one) => ({ ...one, dense: one.masked, masked: one.dense })),
    },
    'turns the order': {
      features: steps.features.toReversed(),
      tokens: { ids: steps.tokens.ids.toReversed(), pieces: steps.tokens.pieces.toReversed() },
    },
  }),
)('a page that %s is found in every figure that shows it', (_, wrong) => {
  const changed = figures.filter(({ draw }) => drawn(draw, { ...steps, ...wrong }) !== drawn(draw, steps))
  expect(changed.length).toBeGreaterThan(0)
  for (const { address, draw } of changed)
    expect(() => checks[address](drawn(draw, { ...steps, ...wrong })), address).toThrow('expected')
})

test('a curve whose highest fiftieth leaves the picture says the ends of its axis, and its highest score', () => {
  const scores = Float32Array.from({ length: 100 }, (_, i) => 200 - i)
  const kept = scores.map((_, i) => Number(i < 50))
  const { html } = curve('neurons', rankUnits(scores, kept))
  expect(html).toContain('<p>↑ score, cut at 198 (highest 200)</p>')
  expect(html).toContain('<p><span>0</span> <span>neurons, ')
})

test('a rank among equal scores is that of all of them', () => {
  expect(rankWords(0, 0, 56)).toBe('rank 1 of 56')
  expect(rankWords(2018, 5149, 7168)).toBe('rank 2,019 to 7,168 of 7,168, tied with 5,149')
})

// ---- The strip, and what the page carries -----------------------------------------------------------------

/** The strip for some scores, by the address of the definition. */
const stripOf = (source: Settings['source']): Record<string, string> =>
  Object.fromEntries(
    stations.map(({ address, title, draw }) => [
      address.replace('strip.', ''),
      `${title(source)}: ${(draw(steps, { ...settings, source }) as Markup).html}`,
    ]),
  )

test('the small figures show what their steps hold, and lead to figures of the page', () => {
  const html = stripOf('predicted')
  for (const address of Object.keys(html)) expect(figures.map((own) => own.address)).toContain(address)
  expect(html['opt.opt']).toContain(`>${steps.tokens.pieces.slice(1).map(visible).join('')}<`)
  expect(html['predictor.features']).toContain(`${heads * size} features: ${heads} heads of ${size}`)
  checkScale(html['predictor.predict'], ranked(steps.predicted.neurons), 'the neurons of all layers')
  expect(html['opt.layer']).toContain('colour by rank among all heads and tokens')
  expect(html['predictor.predict']).toContain(`${(layers - 1) * (heads + neurons)} predicted scores`)
  const kept = sum(ranked(steps.mask.neurons).map(sum))
  const all = (layers - 1) * neurons
  const ofHeads = (layers - 1) * heads
  const skippedHeads = ofHeads - sum(ranked(steps.mask.heads).map(sum))
  expect(html['select.selectMask']).toContain(`${kept} of ${all} kept`)
  expect(html['select.selectMask']).toContain(
    `>${skippedHeads} of ${ofHeads} heads and ${all - kept} of ${all} neurons are skipped`,
  )
  for (const { text: word, dense, masked } of steps.next) {
    expect(html['shadowllm.generate']).toContain(`>${word}<`)
    for (const share of [dense, masked]) expect(html['shadowllm.generate']).toContain(percent(share, 1))
  }
  // Nothing is drawn before it is there.
  for (const { draw } of stations) expect(draw({}, settings) ?? null).toBeNull()
})

test('the strip speaks of the predictor and shows its features only where it decides', () => {
  for (const source of ['oracle', 'static', 'random'] as const) {
    const html = stripOf(source)
    expect(html['predictor.features']).not.toMatch(/◆|features/)
    expect(html['predictor.predict']).not.toContain('predicted')
    const [, drawnMap] = /(<path.*?)<\/svg>/s.exec(html['predictor.predict']) ?? []
    const shades = (units: Steps['scores']): string => drawn(figures[4].draw, { ...steps, predicted: units })
    expect(shades(steps.scores)).toContain(drawnMap)
    expect(shades(steps.predicted)).not.toContain(drawnMap)
  }
  expect(stripOf('oracle')['predictor.features']).toContain(steps.dense.pieces.map(visible).join(''))
})

test('the values that the page carries come back bit for bit', () => {
  const { predicted, plainact } = steps
  const odd = { ...predicted, heads: predicted.heads.map((row) => row.map((x, i) => (i === 1 ? -0 : x))) }
  const back = unpackValues(JSON.parse(JSON.stringify(packValues({ predicted: odd, plainact }))))
  expect(sameBits(back, { predicted: odd, plainact })).toBe(true)
  expect(() => packValues({ predicted })).toThrow('values: expected scores, got none')
})

test('equal bits are told from one changed bit, a missing step and another text', () => {
  expect(sameBits(steps, structuredClone(steps))).toBe(true)
  const changes: SomeSteps[] = [
    { ...steps, features: steps.features.map((x, i) => (i === 3 ? x + 1e-6 : x)) },
    { ...steps, features: steps.features.subarray(1) },
    { ...steps, dense: { ...steps.dense, pieces: ['other', ...steps.dense.pieces.slice(1)] } },
    { tokens: steps.tokens },
  ]
  for (const changed of changes) {
    expect(sameBits(steps, changed)).toBe(false)
    expect(sameBits(changed, steps)).toBe(false)
  }
  const zero = { features: Float32Array.of(0) }
  expect(sameBits(zero, { features: Float32Array.of(-0) })).toBe(false)
})

test('scores that are drawn have the shape of others and are the same for every prompt', () => {
  const drawnScores = randomScores(steps.predicted)
  expect(drawnScores.heads.map((row) => row.length)).toEqual(steps.predicted.heads.map((row) => row.length))
  expect(sameBits({ scores: randomScores(steps.plainact) }, { scores: drawnScores })).toBe(true)
  expect(budgetOf(settings)).toEqual({ sparsity: 0.3, scope: 'hybrid', policy: 'exact' })
})

test('settings come back from an address, and the live page reads the link to it', () => {
  const own: Settings = { prompt: 'At sea & ashore', source: 'oracle', sparsity: 0.85, scope: 'per-layer' }
  const address = addressOfSettings('https://example.org/spec/', own, true)
  expect(readSettings(address)).toEqual({ settings: own, isSorted: true })
})

test('settings come back from the live page as they went, or the link there tells what differs', () => {
  const drawn = fc.record({
    prompt: fc.string({ minLength: 1 }),
    source: fc.constantFrom(...scoreSources),
    sparsity: fc.integer({ min: 0, max: 20 }).map((steps) => steps / 20),
    scope: fc.constantFrom(...scopes),
  })
  const isTold = { same: 0, told: 0 }
  fc.assert(
    fc.property(drawn, fc.constantFrom('', '#predictor.predict'), (own, place) => {
      const there = readState(livePageAddress(own).split('#')[1])
      if (there === null) throw new Error('expected a state')
      expect(there.refused).toEqual([])
      expect(there.state.temperature).toBe(0)
      const page = `https://example.org/spec/${place}`
      const link = specificationAddress(page, there.state)
      // A link is written again each time; no prompt is sent to a server; the page opens at the place.
      expect(specificationAddress(link, there.state)).toBe(link)
      expect(new URL(link).search).toBe('')
      const back = withoutFragmentState(link)
      expect(new URL(back).hash).toBe(place)
      const { settings: got } = readSettings(back)
      const told = liveDifference(own)
      isTold[told === '' ? 'same' : 'told']++
      if (told === '') expect(got).toEqual(own)
      else expect(got).not.toEqual(own)
    }),
  )
  expect(Math.min(isTold.same, isTold.told)).toBeGreaterThan(5)
})
