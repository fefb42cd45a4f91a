/**
 * The texts behind static scores: plain sentences of several kinds.
 */
export const texts: readonly string[] = [
  'The old man walked down to the harbour every morning and watched the boats come in with their fish.',
  'She opened the letter with care, read it twice, and put it back into the drawer without a word.',
  'Tom had a red ball. He threw the ball to his dog, and the dog ran after it as fast as it could.',
  'The river rises in the hills to the north and flows through three towns before it reaches the sea.',
  'I shall recommend to the Congress a measure for the relief of the people in the western states.',
  'It was a cold night, and nobody in the house could sleep while the wind was at the windows.',
  'The captain ordered the men to the boats, for the whale had been seen again to the south of the ship.',
  'The film was first shown in the spring of that year and was received well by most of its critics.',
]
