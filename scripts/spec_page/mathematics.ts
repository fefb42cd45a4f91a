/**
 * Formulas of comments as MathML.
 *
 * The files of `src/spec` write formulas as Unicode text: `score = Σ_t | a[t, j] g[t, j] |`. `typeset` finds them between words
 * and sets them; a browser draws MathML without a script or a font of ours. The source stays beside each as `alttext`.
 *
 *   a[t, j]     an index, below        W1, g_z      a subscript         Wᵀ, e⁻ᶻ     superscripts
 *   x_{i+1}, x_grad     subscripts     b^(2 i), e^-z     superscripts     <a, b>     an inner product
 *   a * b       a · b               a <= b      a ≤ b               a += b      as it is
 *   √x, |x|     as they are            a b          a product           a / b       a fraction, where formulas stand alone
 *
 * A formula is a letter, a list in brackets, or letters, numbers and names joined by signs. A word belongs to it where a sign or
 * an open bracket calls for a value, where an equals sign follows it, and where a bracket follows it directly.
 */
import { escapeText } from '../../src/experiments/report/markup.ts'

/** One token of a text. */
interface Token {
  readonly kind: 'space' | 'number' | 'letter' | 'word' | 'sign'
  readonly text: string
}

const tokenPattern = new RegExp(
  [
    String.raw`(?<space>\s+)`,
    String.raw`(?<number>\d+(?:[.,]\d+)*(?:e-?\d+)?(?![\p{Ll}\p{Lu}]))`,
    // W1, β2, dW1, dL; what follows must not make it a longer name.
    String.raw`(?<letter>(?:d(?=[A-Z]))?(?!Σ)[\p{Ll}\p{Lu}]\d*(?![\p{Ll}\p{Lu}\p{Nd}'’]))`,
    // Paths and compounds are one word.
    String.raw`(?<word>(?!Σ)[\p{Ll}\p{Lu}\p{Nd}](?:[\p{Ll}\p{Lu}\p{Nd}_'’]|[-./:@](?=[\p{Ll}\p{Lu}\p{Nd}_]))*)`,
    String.raw`(?<sign>\+=|<=|>=|.)`,
  ].join('|'),
  'uy',
)

function tokensOf(text: string): Token[] {
  return Array.from(text.matchAll(new RegExp(tokenPattern, 'gu')), ({ groups = {} }) => {
    const [kind, found] = Object.entries(groups).find(([, value]) => value !== undefined) as [
      Token['kind'],
      string,
    ]
    return { kind, text: found }
  })
}

const superscripts: Readonly<Record<string, string>> = {
  '⁰': '0',
  '¹': '1',
  '²': '2',
  '³': '3',
  '⁻': '−',
  ⁿ: 'n',
  ᵀ: 'T',
  ᶻ: 'z',
}
const relations = ['=', '≤', '≥', '<', '>', '≈', '+=', '<=', '>=']
const additions = ['+', '−', '±', '-']
const products = ['⊙', '·', '×', '*']
const closings: Readonly<Record<string, string>> = {
  '(': ')',
  '[': ']',
  '|': '|',
  '⌈': '⌉',
  '⌊': '⌋',
  '<': '>',
}
/** What is typed in the place of a sign. */
const typed: Readonly<Record<string, string>> = { '-': '−', '*': '·', '<=': '≤', '>=': '≥' }
const angles: Readonly<Record<string, string>> = { '<': '⟨', '>': '⟩' }
/** Functions that are written without brackets. */
const functions = ['min', 'max', 'log', 'exp', 'cos', 'sin', 'mean']

/** A part of a formula. */
interface Part {
  readonly mathml: string
  /** Whether it is more than a word or a number: a letter, or something joined. */
  readonly isFormula: boolean
  /** The same without its brackets, where brackets enclose all of it. */
  readonly bare?: string
}

const row = (...parts: readonly string[]): string => `<mrow>${parts.join('')}</mrow>`
const operator = (sign: string): string => `<mo>${escapeText(typed[sign] ?? sign)}</mo>`
const TIMES = '<mo lspace="0.1em" rspace="0.1em">\u2062</mo>'

/** Reads formulas from tokens. */
class FormulaReader {
  readonly #tokens: readonly Token[]
  readonly #standsAlone: boolean
  at = 0

  constructor(tokens: readonly Token[], standsAlone: boolean) {
    this.#tokens = tokens
    this.#standsAlone = standsAlone
  }

  /** The text of a token; empty after the last. */
  #text(at: number): string {
    return this.#tokens[at]?.text ?? ''
  }

  #afterSpace(at: number): number {
    return this.#tokens[at]?.kind === 'space' ? at + 1 : at
  }

  /** Takes one of some signs, and the space before it. */
  #take(signs: readonly string[]): string | null {
    const at = this.#afterSpace(this.at)
    const sign = this.#text(at)
    if (!signs.includes(sign)) return null
    // A hyphen is a minus between spaces, before a number that a space precedes, and first in brackets.
    if (sign === '-' && !(at === this.at && /^[([]$/.test(this.#text(at - 1)))) {
      const [before, after] = [this.#tokens[at - 1]?.kind, this.#tokens[at + 1]?.kind]
      if (before !== 'space' && at > 0) return null
      if (after !== 'number' && (after !== 'space' || at === this.at)) return null
    }
    // Without a space before it, it closes an inner product.
    if (sign === '>' && signs === relations && at === this.at) return null
    this.at = at + 1
    return sign
  }

  /** Reads, or stays where it is. */
  #attempt(read: () => Part | null): Part | null {
    const start = this.at
    const part = read()
    if (part === null) this.at = start
    return part
  }

  /** A formula from here on; null if none begins here. */
  formula(isFirst = true): Part | null {
    const first = this.#attempt(() => this.#sum(isFirst))
    return first && this.#chain([], first, relations, () => this.#sum(false))
  }

  #sum(isFirst: boolean): Part | null {
    const sign = this.#take(additions)
    const first = this.#attempt(() => this.#product(isFirst && sign === null))
    return (
      first &&
      this.#chain(sign === null ? [] : [operator(sign)], first, additions, () => this.#product(false))
    )
  }

  /** Parts with signs of one kind between them. @param before the MathML of what stands before the first */
  #chain(before: readonly string[], first: Part, signs: readonly string[], next: () => Part | null): Part {
    const parts = [...before, first.mathml]
    for (;;) {
      const more = this.#attempt(() => {
        const sign = this.#take(signs)
        const part = sign === null ? null : this.#attempt(next)
        return part && { mathml: operator(sign as string) + part.mathml, isFormula: true }
      })
      if (more === null) break
      parts.push(more.mathml)
    }
    return parts.length === 1 ? first : { mathml: row(...parts), isFormula: true }
  }

  #product(isFirst: boolean): Part | null {
    let left = this.#attempt(() => this.#factor(isFirst ? 'first' : 'wanted'))
    if (left === null) return null
    for (;;) {
      const before: Part = left
      const more = this.#attempt(() => {
        const sign = this.#take([...products, '/'])
        const space = this.#tokens[this.at]?.kind === 'space'
        const right = this.#factor(sign === null ? 'next' : 'wanted')
        if (right === null) return null
        if (sign === '/' && this.#standsAlone && space) return fraction(before, right)
        const joined = row(before.mathml, sign === null ? TIMES : operator(sign), right.mathml)
        const isFormula = sign !== null || before.isFormula || right.isFormula
        return { mathml: joined, isFormula }
      })
      if (more === null) return left
      left = more
    }
  }

  /** @param place first of a formula, wanted by a sign, or next to another factor */
  #factor(place: 'first' | 'wanted' | 'next'): Part | null {
    const start = this.at
    this.at = this.#afterSpace(this.at)
    if (place === 'first' && this.at !== start) return null
    const { kind, text } = this.#tokens[this.at] ?? { kind: 'space', text: '' }
    if (text === 'Σ') {
      this.at++
      const sum = this.#scripts('<mo>∑</mo>', true)
      const term = this.#product(false)
      return term && { mathml: row(sum, term.mathml), isFormula: true }
    }
    if (text === '√') {
      this.at++
      const under = this.#factor('wanted')
      return under && { mathml: `<msqrt>${under.bare ?? under.mathml}</msqrt>`, isFormula: true }
    }
    if (text === '<' && this.#tokens[this.at + 1]?.kind === 'space') return null
    if (Object.hasOwn(closings, text))
      return place === 'next' && /[|<]/.test(text) ? null : this.#bracketed(place)
    if (kind === 'letter') {
      if (!this.#isVariable(place)) return null
      this.at++
      return this.#applied({ mathml: letter(text), isFormula: true })
    }
    if (kind === 'number') {
      if (place === 'next') return null
      this.at++
      return this.#applied({ mathml: `<mn>${text}</mn>`, isFormula: false })
    }
    if (kind === 'word' && /^\p{L}[\p{L}\p{N}]*(?:_\p{L}+)?$/u.test(text) && this.#isName(place, text)) {
      this.at++
      const [name, below] = text.split('_')
      const mathml =
        below === undefined ? `<mi>${name}</mi>` : `<msub><mi>${name}</mi><mi>${below}</mi></msub>`
      return this.#applied({ mathml, isFormula: below !== undefined })
    }
    return null
  }

  /** Whether the letter here is a variable: `a` is one beside a sign only. */
  #isVariable(place: 'first' | 'wanted' | 'next'): boolean {
    if (place === 'wanted' || !/^a$/i.test(this.#text(this.at))) return true
    const after = this.#text(this.at + 1)
    if (/^[[(,:;.]$/.test(after)) return true
    const sign = this.#text(this.#afterSpace(this.at + 1))
    return place === 'first' && [...relations, ...additions, ...products, '/'].includes(sign)
  }

  /** Whether the word here belongs to a formula. */
  #isName(place: 'first' | 'wanted' | 'next', word: string): boolean {
    if (place === 'wanted') return word !== 'the'
    const after = this.#text(this.at + 1)
    if (/^[([^]$/.test(after) || Object.hasOwn(superscripts, after)) return true
    if (place === 'next') return functions.includes(word)
    return ['=', '+=', '*'].includes(this.#text(this.#afterSpace(this.at + 1)))
  }

  /** Something in brackets, and what stands at it. */
  #bracketed(place: 'first' | 'wanted' | 'next'): Part | null {
    const open = this.#text(this.at++)
    const content = this.#list()
    if (content === null) return null
    const close = this.#take([closings[open]])
    if (close === null) return null
    if (place !== 'wanted' && !content.isFormula && open !== '[') return null
    const inner = { ...enclosed(open, content.mathml, close), isFormula: true }
    return this.#applied(inner)
  }

  /** Formulas with commas between them. */
  #list(): Part | null {
    const parts: Part[] = []
    do {
      const part = this.formula(false)
      if (part === null) return null
      parts.push(part)
    } while (this.#take([',']) !== null)
    const separator = '<mo separator="true">,</mo>'
    return {
      mathml: parts.map(({ mathml }) => mathml).join(separator),
      isFormula: parts.some(({ isFormula }) => isFormula),
    }
  }

  /** What stands directly at a part: indices, arguments, sub- and superscripts. */
  #applied(base: Part): Part {
    let part: Part = { ...base, mathml: this.#scripts(base.mathml, false) }
    if (part.mathml !== base.mathml) part = { mathml: part.mathml, isFormula: true }
    let isIndexed = part.mathml !== base.mathml || base.mathml.includes('<msub>')
    for (;;) {
      const open = this.#text(this.at)
      if (open !== '(' && open !== '[') return part
      const before: Part = part
      const more = this.#attempt(() => {
        this.at++
        const content = this.#list()
        if (content === null || this.#take([closings[open]]) === null) return null
        if (open === '[' && !isIndexed)
          return { mathml: `<msub>${before.mathml}${row(content.mathml)}</msub>`, isFormula: true }
        const brackets = enclosed(open, content.mathml, closings[open])
        return { mathml: row(before.mathml, '<mo>\u2061</mo>', brackets.mathml), isFormula: true }
      })
      if (more === null) return part
      isIndexed = true
      part = { ...more, mathml: this.#scripts(more.mathml, false) }
    }
  }

  /** `_x` and superscripts, after a base. */
  #scripts(base: string, isSum: boolean): string {
    const below = this.#text(this.at) === '_' ? this.#script('{', '}') : ''
    let above = this.#text(this.at) === '^' ? this.#script('(', ')') : ''
    while (Object.hasOwn(superscripts, this.#text(this.at))) {
      const sign = superscripts[this.#text(this.at++)]
      if (sign === '−') above += operator(sign)
      else above += /\d/.test(sign) ? `<mn>${sign}</mn>` : sign === 'T' ? UPRIGHT_T : `<mi>${sign}</mi>`
    }
    if (isSum) return below === '' ? base : `<munder>${base}${below}</munder>`
    // W1ᵀ: the digit and the sign stand above each other.
    const [, inner, digit] = /^<msub>(<mi>.*?<\/mi>)(.*)<\/msub>$/.exec(base) ?? []
    if (inner && below === '' && above !== '') return `<msubsup>${inner}${digit}${row(above)}</msubsup>`
    if (below !== '' && above !== '') return `<msubsup>${base}${below}${row(above)}</msubsup>`
    if (below !== '') return `<msub>${base}${below}</msub>`
    return above === '' ? base : `<msup>${base}${row(above)}</msup>`
  }

  /** What stands behind `_` or `^`: what brackets enclose, or a letter, a name or a number, negative perhaps. Empty if there is none. */
  #script(open: string, close: string): string {
    const found = this.#attempt(() => {
      this.at++
      if (this.#text(this.at) === open) {
        this.at++
        const part = this.formula(false)
        return part !== null && this.#take([close]) !== null ? part : null
      }
      const minus = open === '(' && /^[-−]$/.test(this.#text(this.at)) ? operator('−') : ''
      if (minus !== '') this.at++
      const { kind, text } = this.#tokens[this.at++] ?? { kind: 'space', text: '' }
      if (kind === 'letter') return { mathml: minus + letter(text), isFormula: true }
      if (kind === 'number' && open === '(') return { mathml: `${minus}<mn>${text}</mn>`, isFormula: true }
      return kind === 'word' && /^\p{L}+$/u.test(text)
        ? { mathml: `${minus}<mi>${text}</mi>`, isFormula: true }
        : null
    })
    return found?.mathml ?? ''
  }
}

const UPRIGHT_T = '<mi mathvariant="normal">T</mi>'

/** A variable; its digits are a subscript. */
function letter(text: string): string {
  const [, differential, name, digits] = /^(d?)(\D)(\d*)$/u.exec(text) as RegExpExecArray
  const variable = `<mi>${name}</mi>`
  const whole = digits === '' ? variable : `<msub>${variable}<mn>${digits}</mn></msub>`
  return differential === '' ? whole : row('<mi>d</mi>', whole)
}

function enclosed(open: string, content: string, close: string): Part {
  // Brackets grow with what is higher than a line only: fonts without sizes for mathematics grow them too far.
  const grows = /<(?:mfrac|munder|msqrt)>/.test(content) ? '' : ' stretchy="false"'
  const [left, right] = [
    `<mo form="prefix"${grows}>${angles[open] ?? open}</mo>`,
    `<mo form="postfix"${grows}>${angles[close] ?? close}</mo>`,
  ]
  return { mathml: row(left, content, right), isFormula: true, ...(open === '(' && { bare: row(content) }) }
}

function fraction(above: Part, below: Part): Part {
  const whole = `<mfrac>${above.bare ?? above.mathml}${below.bare ?? below.mathml}</mfrac>`
  return { mathml: whole, isFormula: true }
}

/**
 * Words with the formulas among them set as MathML: HTML.
 * @param standsAlone whether formulas have lines of their own, and room for fractions
 */
export function typeset(text: string, standsAlone = false): string {
  const tokens = tokensOf(text)
  const reader = new FormulaReader(tokens, standsAlone)
  let html = ''
  while (reader.at < tokens.length) {
    const start = reader.at
    const part = tokens[start].kind === 'space' ? null : reader.formula()
    if (part?.isFormula) {
      const source = escapeText(
        tokens
          .slice(start, reader.at)
          .map((token) => token.text)
          .join(''),
      )
      const style = standsAlone ? ' displaystyle="true"' : ''
      html += `<math alttext="${source}"${style}>${part.mathml}</math>`
    } else {
      reader.at = start + 1
      html += escapeText(tokens[start].text)
    }
  }
  return html
}
