/**
 * A law beside a definition as HTML: its sentence, the bug as a diff of one line, and the buttons, hidden until a script works.
 */
import { markup } from '../../src/experiments/report/markup.ts'
import { engineLaws } from '../../src/verify/model/engine_laws.ts'
import type { Proof } from '../../src/web/spec_page/proofs.ts'

/** The HTML of a proof. */
export function setProof({ address, law, cases, bug, line, planted }: Proof): string {
  const { sentence } = engineLaws[law as keyof typeof engineLaws]
  return markup`<aside class="law" id="law.${address}" aria-label="The law of ${address.split('.')[1]}">
<p><span class="label">Law</span> ${sentence}. <button type="button" hidden>Try it on ${cases} cases</button></p>
<p><span class="label">Bug</span> ${bug}: <button type="button" hidden>Plant it</button></p>
<pre class="diff" tabindex="0"><del>- ${line}</del>
<ins>+ ${planted}</ins></pre>
<div class="verdict" role="status"></div>
</aside>`.html
}
