/**
 * README.md of the package: that of the checkout without pictures and notes to tools, with links only to what is packed.
 *
 * Between `<!-- checkout -->` and `<!-- /checkout -->` stands what only a checkout has; `<!-- package` begins a comment whose
 * text stands in the package and on the site in its place, and `<!-- site` one for the site alone.
 */

/** A document as it stands in a place other than a checkout. */
export function textFor(place: 'package' | 'site', text: string): string {
  const names = place === 'site' ? 'package|site' : place
  return text
    .replaceAll(/<!-- checkout -->[^]*?<!-- \/checkout -->\n*/g, '')
    .replaceAll(new RegExp(`<!-- (?:${names})\\n([^]*?)\\n-->`, 'g'), '$1')
}

/** @param isPacked whether the package has a file of this path */
export function packageReadme(readme: string, isPacked: (path: string) => boolean): string {
  return textFor('package', readme)
    .replaceAll(/^<!--[^]*?-->\n+/gm, '')
    .replaceAll(/<!--[^]*?-->/g, '')
    .replaceAll(/!\[[^\]]*\]\([^)]*\)\n*/g, '')
    .replaceAll(/\[([^[\]]*)\]\(([^)]*)\)/g, (link, words: string, to: string) =>
      /^(#|https:)/.test(to) || isPacked(to.replace(/#.*/, '')) ? link : words,
    )
}
