/**
 * A law beside a definition as HTML: its sentence, the bug as a diff of one line, and the buttons, hidden until a script works.
 */
import { markup, trusted, type Markup } from '../../src/experiments/report/markup.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import type { Proof } from '../../src/web/spec_page/proofs.ts'

/** The bug that is chosen when the page opens: one of the method itself. */
const FIRST = 'predictor.features'

/** The list of all bugs, of which one is planted from the top of the page. */
export function setBugs(proofs: readonly Proof[]): string {
  const options = proofs.map(
    ({ address, bug }) =>
      markup`<option value="${address}"${address === FIRST ? trusted(' selected') : null}>${bug}</option>`,
  )
  const changes = proofs.map(
    ({ address, line, planted }) =>
      markup`<div data-bug="${address}"${address === FIRST ? null : trusted(' hidden')}><p>In <a href="#${address}">${address.split('.')[0]}.ts, ${address.split('.')[1]}</a>:</p>${setDiff(line, planted)}</div>`,
  )
  return markup`<div class="choose" hidden><label>The bug: <select id="bug">${options}</select></label> <button type="button" id="plant" class="primary">Plant this bug</button></div>
${changes}
<div class="verdict" role="status"></div>`.html
}

/** A line and the line in its place, with what differs marked. */
function setDiff(line: string, planted: string): Markup {
  const most = Math.min(line.length, planted.length)
  let [start, end] = [0, 0]
  while (start < most && line[start] === planted[start]) start++
  while (end < most - start && line.at(-1 - end) === planted.at(-1 - end)) end++
  const marked = (text: string): Markup =>
    markup`${text.slice(0, start)}<mark>${text.slice(start, text.length - end)}</mark>${text.slice(text.length - end)}`
  return markup`<pre class="diff" tabindex="0"><del>-\u{a0}${marked(line)}</del><ins>+\u{a0}${marked(planted)}</ins></pre>`
}

/** The HTML of a proof. */
export function setProof({ address, law, cases, bug, line, planted }: Proof): string {
  const { sentence } = engineLaws[law as keyof typeof engineLaws]
  const name = address.split('.')[1]
  return markup`<aside class="law" id="law.${address}" aria-label="The law of ${name}">
<p><span class="label">Law</span> ${sentence}. <button type="button" aria-label="Try it on ${cases} cases: the law of ${name}" hidden>Try it on ${cases} cases</button></p>
<div class="verdict" role="status"></div>
<p><span class="label">Bug</span> ${bug}: <button type="button" aria-label="Plant it: ${bug}" hidden>Plant it</button></p>
${setDiff(line, planted)}
<div class="verdict" role="status"></div>
</aside>`.html
}
