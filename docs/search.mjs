/**
 * A plugin of typedoc: what its search finds, and in which order, what each result says, and which part of the list of pages is
 * seen. The sections of guides are found too, the tasks that the start page lists, which lead to the call, and the words that it
 * explains, by all of their words. A section that uses a term such as KL or int4 comes before members of that name, and its result is the
 * sentence.
 * Guides, functions and classes come before types, and these before members; names of the main module before the same of another; and
 * the small words of English are ignored, but for `own`, which the tasks tell apart by. Signs that the index reads as operators never
 * reach it. A flag of the command line and the code of an error lead to where their pages explain them, and a word with one wrong
 * letter to the word meant. A word is found in its other forms (masks, quantised), and a word that the pages do not use by the title
 * that it stands for.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { DocumentReflection, ReflectionKind } from 'typedoc'
import { synonyms } from './synonyms.mts'
import { beginning, codeAnchor, flagAnchor, repack } from './words.mjs'

/** What typedoc searches with, which knows the small words of English. */
const lunr = createRequire(import.meta.resolve('typedoc'))('lunr')

const { name: mainModule } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))

const startPage = readFileSync(new URL('reference.md', import.meta.url), 'utf8')

/** The tasks that the start page lists: title, address from the folder of the reference, and words. */
const tasks = startPage.matchAll(/^- \[([^\]]+)\]\(site:reference\/([^)]+)\): (.*)$/gm)

/** The words that it explains: each and its explanation, whose item has the word as its anchor (titles.mjs). */
const explained = startPage.matchAll(/^- \*\*(\w+)\*\*: (.*(?:\n {2}.*)*)$/gm)

/** The page of all flags, and how a flag is explained there: its names, the long one, and words. */
const FLAGS_PAGE = 'documents/flags.html'
const EXPLAINED_FLAG = /^## (?:shadowllm )?(.+)$|^- `((?:-\w, )?--([\w-]+)[^`]*)`: (.*)$/gm

/**
 * The flags that the page explains, each as often as it has another meaning: names, the anchor (titles.mjs) and words, the commands
 * first.
 */
function flagsOf(page) {
  const text = page?.content.map((part) => part.text).join('') ?? ''
  const counts = {}
  const found = []
  let section = ''
  for (const [, heading, term, flag, words] of text.matchAll(EXPLAINED_FLAG)) {
    if (heading) {
      section = heading
      continue
    }
    const count = (counts[flag] = (counts[flag] ?? 0) + 1)
    const [, meaning, commands] = /^(.*) Of (`.*`)\.$/.exec(words) ?? [null, words, `\`${section}\``]
    found.push([term.replaceAll(/ [<[].*?[>\]]/g, ''), flagAnchor(flag, count), `${commands}: ${meaning}`])
  }
  if (found.length === 0) throw new Error(`${FLAGS_PAGE}: expected flags, got none`)
  return found
}

/** The page of all error codes, and how a code is explained there: its class and exit code, its name, and messages. */
const ERRORS_PAGE = 'documents/errors.html'
const EXPLAINED_CODE = /^### (.+)$|^- `([A-Z][A-Z0-9_]+)`: (.*)$/gm

/** The codes that the page explains: names, the anchor (titles.mjs) and words, the class first. */
function codesOf(page) {
  const text = page?.content.map((part) => part.text).join('') ?? ''
  const counts = {}
  const found = []
  let section = ''
  for (const [, heading, code, words] of text.matchAll(EXPLAINED_CODE)) {
    if (heading) section = heading
    else {
      const count = (counts[code] = (counts[code] ?? 0) + 1)
      found.push([code, codeAnchor(code, count), `${section}. ${words}`])
    }
  }
  if (found.length === 0) throw new Error(`${ERRORS_PAGE}: expected codes, got none`)
  return found
}

/** A word with two capitals, or with a digit behind letters. */
const TERM = /\b(?:[A-Z]{2,}|[a-z]+\d+)\b/g

/** A table of planners, and a row of it: a name and what it says of it. */
const PLANNERS = /^\| planner +\| what it does .*\n(?:\|.*\n)+/gm
const NAMED_ROW = /^\|\s*`([a-z][a-z-]*)`\s*\|([^|]+)/gm

/** A block of code, its language and what it holds. */
const FENCED = /^ *```(.*?)$\n(.*?)^ *```/gms

/** The sentences of a text in which terms stand first, and what its table of planners says, by term in small letters. */
function sentencesOf(text) {
  const found = {}
  for (const [table] of text.matchAll(PLANNERS))
    for (const [, name, words] of table.matchAll(NAMED_ROW)) found[name] ??= plain(words)
  for (const paragraph of text.replaceAll(FENCED, '').split(/\n\s*\n|\n(?=- )/)) {
    // No title, no table and no code of an error.
    if (/^\s*(?:[#|<]|- `[A-Z][A-Z\d_]+`: )/.test(paragraph)) continue
    for (const sentence of plain(paragraph.replace(/^\s*- /, '')).split(/(?<=[.:]) (?=[A-Z])/))
      for (const [term] of sentence.matchAll(TERM)) found[term.toLowerCase()] ??= sentence
  }
  return found
}

/** A text by each of its words, in small letters, and by the stem of each. */
function byWord(text) {
  const line = plain(text)
  return Object.fromEntries(
    Array.from(line.toLowerCase().matchAll(/[a-z]\w+/g), ([word]) => [
      [word, line],
      [stemOf(word), line],
    ]).flat(),
  )
}

/** Markdown without its marks, in one line. */
function plain(text) {
  return text
    .replaceAll(/<!--.*?-->/g, '')
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .replaceAll(/[`*]/g, '')
    .replaceAll(/\s+/g, ' ')
    .trim()
}

/** How much a row counts by its kind; half for a member that is no method. */
const standings = [
  [ReflectionKind.Document, 3],
  [ReflectionKind.Function | ReflectionKind.Class, 2],
  [ReflectionKind.SomeType | ReflectionKind.Variable | ReflectionKind.Module, 1.5],
  [ReflectionKind.Method, 1],
]

/** In the browser: the words of each reading of the last query, as they were found, and whether it names a flag or a code. Each page has one. */
const asked = {}

/** In the browser: the words of a text in small letters, with dashes within them (`least-squares`). */
function wordsOf(text) {
  return text.toLowerCase().match(/[\p{L}\p{N}_]+(?:-[\p{L}\p{N}_]+)*/gu) ?? []
}

/** In the browser: words as the index has them, which splits them at dashes. */
function piecesOf(words) {
  return words.flatMap((word) => word.split('-'))
}

/** In the browser: what the forms of a word have in common: masks and masking, calibrates and calibration, quantise and quantized. */
function stemOf(word) {
  return word
    .replace(/(?<=..)ies$/, 'y')
    .replace(/(?<=\w{3})(?<![aius])s$/, '')
    .replace(/(?<=\w\w)([bdgmnprt]|(?<=\w{4})l)\1(?:ing|ed)$/, '$1')
    .replace(/(?<=\w{4})(?:at(?:e|ed|ing|ions?|or)|ing|ed|e)$/, '')
    .replace(/(?<=\w{3})is$/, 'iz')
}

/** In the browser: a query, and if it has words of others, the query with the titles that they stand for. */
function readingsOf(query, synonyms) {
  const line = ` ${piecesOf(wordsOf(query)).join(' ')} `
  for (const [title, phrases] of Object.entries(synonyms))
    for (const phrase of phrases)
      if (line.includes(` ${phrase} `)) return [query, line.replace(` ${phrase} `, ` ${title} `)]
  return [query]
}

/** In the browser: the words of a query without the small ones, unless it has no others. */
function wordsOfQuery(query, smallWords) {
  const words = wordsOf(query)
  const others = words.filter((word) => !smallWords.includes(word))
  return others.length > 0 ? others : words
}

/** In the browser: what the index has for a query. A long word that it does not have stands for one that differs by a letter. */
function searchFor(index, query, smallWords, synonyms) {
  // Each piece is letters, digits and underscores: none is an operator.
  const find = (pieces) =>
    index.search(
      pieces
        .map(stemOf)
        .flatMap((stem) => [stem, stem.replace(/iz$/, 'is')])
        .map((stem) => (stem.length > 2 ? `*${stem}*` : `${stem}*`))
        .join(' '),
    )
  asked.isFlag = /(?:^|\s)-/.test(query)
  asked.isCode = /^\s*[A-Z][A-Z\d_]+\s*$|_/.test(query)
  const meant = (piece) => {
    if (piece.length < 6 || find([piece]).length > 0) return piece
    const [best] = index.search(`${piece}~1`)
    return Object.keys(best?.matchData.metadata ?? {})[0] ?? piece
  }
  // A flag is spelt with dashes.
  const spelt = (word) => (asked.isFlag || find([word]).length === 0 ? word.replaceAll('_', '-') : word)
  asked.readings = readingsOf(query, asked.isFlag ? {} : synonyms).map((reading) =>
    wordsOfQuery(reading, smallWords).map((word) => spelt(word).split('-').map(meant).join('-')),
  )
  const words = asked.readings.flat()
  return words.length > 0 ? find(piecesOf(words)) : []
}

/** In the browser: where a result stands among others: by its name, then by how many of the words it has, then as the index says. */
function scoreOf({ score, matchData }, row, { readings, isFlag, isCode }, standings, mainModule) {
  const found = Object.keys(matchData.metadata).map(stemOf)
  const ranks = readings.map((words) => {
    const stems = piecesOf(words).map(stemOf)
    const share = stems.filter((stem) => found.some((term) => term.includes(stem))).length / stems.length
    return (
      1e3 * rankOfRow(row, { words, isFlag, isCode }, standings, mainModule) * (0.6 + 0.4 * share) +
      100 * share
    )
  })
  // How the project is kept comes behind what says the same to its users.
  const [isInside, section] = /^documents\/README\.\w[\w-]*\.html(#?)/.exec(row.url) ?? []
  return (Math.max(...ranks) + score) * (isInside ? (section ? 0.1 : 0.3) : 1)
}

/**
 * In the browser: how high a row stands by its kind and its name. A name that is the query counts 3; each word of the query counts 1
 * as the last of a name (a `UnitMask` is a mask, `MaskOptions` are not), 0.75 as another one or in a title, 0.5 as the beginning of one.
 * A flag comes behind sentences unless the query begins with a dash.
 */
function rankOfRow(
  { name, kind, url, parent = '', line = '', sentences = {}, isListed },
  { words, isFlag, isCode },
  standings,
  mainModule,
) {
  // A guide is found by the name of its file too, which is that of its address.
  const file =
    kind === standings[0][0] && !url.includes('#') ? url.replace(/^.*[/.](?=[^.]+\.html$)|\.html$/g, '') : ''
  const parts = `${name} ${file}`
    .replaceAll(/([a-z0-9])([A-Z])/g, '$1 $2')
    .toLowerCase()
    .split(/[^a-z0-9]+/)
    .filter(Boolean)
  const isFlagRow = name.startsWith('-')
  // A flag is found by its commands too, which its line begins with; of its meanings that of most commands comes first.
  const commands = isFlagRow ? wordsOf(line.split(':')[0]) : []
  parts.unshift(...commands)
  const [[guide]] = standings
  const pieces = piecesOf(words)
  const fits = pieces.map((word) => {
    // Of one or of several.
    const same = (part) => part === word || part === word.replace(/(?<=\w{3}[^s])s$/, '')
    if (parts.length > 0 && same(parts.at(-1)) && kind !== guide) return 1
    const begins = (part) => part.startsWith(stemOf(word)) || stemOf(part) === stemOf(word)
    return parts.some(same) ? 0.75 : parts.some(begins) ? 0.5 : 0
  })
  const names = [`${parent.split('.').at(-1)} ${name}`, ...(isFlagRow ? name.split(', ') : [name])]
  const isQuery = names.some((one) => piecesOf(wordsOf(one)).join(' ') === pieces.join(' '))
  const fit = isQuery ? 3 : fits.reduce((sum, one) => sum + one, 0) / pieces.length
  const isMain = kind === guide || parent.split('.')[0] === mainModule
  // The code of an error is found by the whole of it, in capital letters or with its underscore.
  const isCodeRow = /#code-[a-z]/.test(url)
  const share = isCodeRow
    ? isQuery && isCode
      ? 1
      : 0.05
    : isFlagRow && !isFlag
      ? 0.15
      : isFlagRow !== isFlag || !isMain
        ? 0.5
        : 1
  const rank =
    fit * (standings.find(([kinds]) => kinds & kind)?.[1] ?? 0.5) * share * (1 + commands.length / 100)
  const isSaid = (!isFlagRow || isFlag) && words.every((word) => sentenceOf(word, sentences))
  // Before a member whose name is the query, which has half of 3.
  const has = (word) => Object.hasOwn(sentences, word)
  const isForm = words.some((word) => !has(word) && has(stemOf(word)))
  const said = !isSaid ? 0 : words.every(has) ? 1.7 : isForm ? 1.4 : 1.6
  return Math.max(rank, said && isListed ? said + 0.05 : said)
}

/** In the browser: the sentence that has a word, or all parts of one with dashes. */
function sentenceOf(word, sentences) {
  const own = (key) => Object.hasOwn(sentences, key) && sentences[key]
  const found = [word, ...word.split('-')].map((one) => own(one) || own(stemOf(one)))
  return found[0] || (found.every((one, i) => i === 0 || one) && found[1])
}

/** In the browser: the words of a row below its name: the sentence that was looked for, or its own line. */
function lineOfRow({ line, sentences = {} }, escaped, readings) {
  const shown =
    readings
      .flat()
      .map((word) => sentenceOf(word, sentences))
      .find(Boolean) ?? line
  return shown ? `<span class="line">${escaped(shown)}</span>` : ''
}

/**
 * What the list of results says of one: how its comment or its text begins, without marks; what a block of code holds if it has no
 * sentence. A sentence begins with a capital letter, and a name as it is written.
 */
function lineOf(one) {
  const parts = one.isDocument() ? one.content : ((one.comment ?? one.signatures?.[0].comment)?.summary ?? [])
  const all = parts
    .map((part) => part.text)
    .join('')
    .replaceAll(/<!--.*?-->/gs, '')
  const paragraphs = all.replaceAll(FENCED, '').split(/\n\s*\n/)
  const first = one.isDocument() ? paragraphs.find((part) => /^[\w[`*]/.test(part.trim())) : all
  const [, , code = ''] = new RegExp(FENCED, 'ms').exec(all) ?? []
  const [{ text: line }] = beginning([{ kind: 'text', text: plain(first ?? code) }])
  const isSentence = first !== undefined && (one.isDocument() || parts[0]?.kind === 'text')
  return isSentence && /^\s*[a-z]+[ ,.;:]/.test(first) ? line.charAt(0).toUpperCase() + line.slice(1) : line
}

/** In the browser: scrolls a list so that an entry is in its middle. */
function centre(list, entry) {
  const [outer, inner] = [list.getBoundingClientRect(), entry.getBoundingClientRect()]
  list.scrollTop += inner.top + inner.height / 2 - outer.top - outer.height / 2
}

/** The parts of typedoc's script that ask the index, rank what it gives and scroll its lists, and what stands for them. */
const changes = [
  [
    'let a=i.split(" ").map(c=>c.length?`*${c}*`:"").join(" ");s=r.index.search(a)',
    's=searchFor(r.index,i,smallWords,synonyms)',
  ],
  [
    'l.name.toLowerCase().startsWith(i.toLowerCase())&&(d*=10/(1+Math.abs(l.name.length-i.length)))',
    'c.score=scoreOf(c,l,asked,standings,mainModule)',
  ],
  // lunr takes two states of its graph of words for one if their edges are spelt alike: edge 1 to state 23, and edge 12 to 3.
  ['e=e+s+o.id', 'e=e+s+o.id+","'],
  // Without a choice, the first result is meant.
  ['case"Enter":f?.querySelector', 'case"Enter":(f??r.querySelector("li"))?.querySelector'],
  // The current entry of the list of pages in the middle of it, even if a part of it can be seen.
  ['if(e&&!rt(e)){', 'if(e){'],
  ['document.querySelector(".site-menu").scrollTop=r', 'centre(document.querySelector(".site-menu"),e)'],
  // A result says what it is.
  ['`<span class="text">${f}</span>`', '`<span class="text">${f}</span>${lineOfRow(c,te,asked.readings)}`'],
]

/** Called by typedoc. */
export function load(app) {
  let smallWords = []
  /** What the rows of the index say, by their names and addresses. */
  let lines = new Map()
  /** The sentences of guides and of their sections, likewise. */
  let sentences = new Map()
  /** The rows that the start page lists, likewise. */
  let listed = new Set()
  app.renderer.on('prepareIndex', (event) => {
    for (let i = event.searchResults.length - 1; i >= 0; i--) {
      const one = event.searchResults[i]
      if (one.isDeclaration() && (one.isReference() || one.inheritedFrom)) event.removeResult(i)
      // The list of changes has all words, and explains none.
      if (one.isDocument() && one.name === 'Changes') event.removeResult(i)
    }
    const { router } = app.renderer
    const addresses = new Map()
    const words = new Set()
    const fromStart = new Set()
    for (const guide of event.searchResults.filter((one) => one.isDocument())) {
      const text = guide.content.map((part) => part.text).join('')
      for (const [word] of text.toLowerCase().matchAll(/[a-z]+/g)) words.add(word)
      const slugger = router.getSlugger(guide)
      const anchors = new slugger.constructor(slugger.options)
      for (const section of text.split(/^(?=## )/m).slice(1)) {
        const title = section.slice(3, section.indexOf('\n')).replaceAll('`', '')
        const one = new DocumentReflection(title, guide, [{ kind: 'text', text: section }], {})
        addresses.set(one, `${router.getFullUrl(guide)}#${anchors.slug(title)}`)
        event.searchResults.push(one)
      }
    }
    for (const [, title, address, text] of tasks) {
      const one = new DocumentReflection(title, event.project, [{ kind: 'text', text }], {})
      // Behind a guide that fits a query as well.
      one.relevanceBoost = 0.5
      addresses.set(one, address)
      fromStart.add(one)
      event.searchResults.push(one)
    }
    for (const [page, itemsOf] of [
      [FLAGS_PAGE, flagsOf],
      [ERRORS_PAGE, codesOf],
    ]) {
      const guide = event.searchResults.find((one) => one.isDocument() && router.getFullUrl(one) === page)
      for (const [name, id, text] of itemsOf(guide)) {
        const one = new DocumentReflection(name, event.project, [{ kind: 'text', text }], {})
        addresses.set(one, `${page}#${id}`)
        event.searchResults.push(one)
      }
    }
    for (const [, word, text] of explained) {
      const one = new DocumentReflection(word, event.project, [{ kind: 'text', text }], {})
      // Before a section of that name.
      one.relevanceBoost = 2
      addresses.set(one, `index.html#${word.toLowerCase()}`)
      fromStart.add(one)
      event.searchResults.push(one)
    }
    const addressOf = router.getFullUrl.bind(router)
    router.getFullUrl = (target) => addresses.get(target) ?? addressOf(target)
    // Of names that are as good, first those that are shown in use.
    for (const one of event.searchResults)
      if ([one, ...(one.signatures ?? [])].some(({ comment }) => comment?.getTag('@example')))
        one.relevanceBoost = 2
    const keyOf = (one) => `${one.name} ${router.getFullUrl(one)}`
    sentences = new Map(
      event.searchResults
        .filter((one) => one.isDocument())
        .map((one) => {
          const text = one.content.map((part) => part.text).join('')
          return [keyOf(one), fromStart.has(one) ? byWord(text) : sentencesOf(text)]
        }),
    )
    listed = new Set([...fromStart].map(keyOf))
    lines = new Map(event.searchResults.map((one) => [keyOf(one), lineOf(one)]))
    smallWords = [...words].filter(
      (word) => word !== 'own' && lunr.stopWordFilter(new lunr.Token(word)) === undefined,
    )
  })
  app.renderer.on('endRender', ({ outputDirectory }) => {
    repack(join(outputDirectory, 'assets/search.js'), (data) => {
      for (const title of Object.keys(synonyms))
        if (!data.rows.some(({ name }) => name === title))
          throw new Error(`synonyms of the search: expected a title of the reference, got ${title}`)
      const rows = data.rows.map((row) => {
        const key = `${row.name} ${row.url}`
        return { ...row, line: lines.get(key), sentences: sentences.get(key), isListed: listed.has(key) }
      })
      return { ...data, rows }
    })
    const file = join(outputDirectory, 'assets/main.js')
    let script = readFileSync(file, 'utf8')
    for (const [from, to] of changes) {
      if (!script.includes(from)) throw new Error(`main.js of typedoc: expected ${from}, got none`)
      script = script.replace(from, () => to)
    }
    const constants = Object.entries({ asked, smallWords, synonyms, standings, mainModule }).map(
      ([name, value]) => `const ${name}=${JSON.stringify(value)}`,
    )
    const functions = [
      wordsOf,
      piecesOf,
      stemOf,
      readingsOf,
      wordsOfQuery,
      searchFor,
      sentenceOf,
      rankOfRow,
      scoreOf,
      lineOfRow,
      centre,
    ]
    writeFileSync(file, [...constants, ...functions, script].join('\n'))
  })
}
