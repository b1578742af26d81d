'use strict';
// The page is complete without this: it only sorts, filters and copies.
for (const heading of document.querySelectorAll('table[data-sort] thead th')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.append(...heading.childNodes);
  heading.append(button);
  button.addEventListener('click', () => sort(heading));
}

function sort(heading) {
  const table = heading.closest('table');
  const column = heading.cellIndex;
  const ascending = heading.getAttribute('aria-sort') !== 'ascending';
  for (const other of table.querySelectorAll('thead th')) {
    other.removeAttribute('aria-sort');
  }
  heading.setAttribute('aria-sort', ascending ? 'ascending' : 'descending');
  const key = (row) => {
    const cell = row.cells[column];
    return cell.dataset.value === undefined ? cell.textContent : Number(cell.dataset.value);
  };
  const compare = (a, b) => {
    if (typeof a === 'number' && typeof b === 'number') {
      // What is not a number comes last, whichever way.
      if (Number.isNaN(a) || Number.isNaN(b)) {
        return Number.isNaN(a) - Number.isNaN(b);
      }
      return ascending ? a - b : b - a;
    }
    const order = String(a).localeCompare(String(b), 'en', {numeric: true});
    return ascending ? order : -order;
  };
  const body = table.tBodies[0];
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
}

// What is wider than the window scrolls, by keyboard too.
function reach() {
  for (const box of document.querySelectorAll('.scroll')) {
    if (box.scrollWidth > box.clientWidth) {
      box.tabIndex = 0;
    } else {
      box.removeAttribute('tabindex');
    }
  }
}
reach();
addEventListener('resize', reach);
document.addEventListener('toggle', reach, true);

for (const button of document.querySelectorAll('button[data-copy]')) {
  const source = document.getElementById(button.dataset.copy);
  const status = button.nextElementSibling;
  const select = () => {
    const range = document.createRange();
    range.selectNodeContents(source);
    getSelection().removeAllRanges();
    getSelection().addRange(range);
    status.textContent = document.execCommand('copy') ? 'copied' : 'selected: copy it with the keyboard';
  };
  button.hidden = false;
  button.addEventListener('click', () => {
    if (navigator.clipboard === undefined) {
      select();
      return;
    }
    navigator.clipboard.writeText(source.textContent).then(() => { status.textContent = 'copied'; }, select);
  });
}

const filter = document.getElementById('filter');
if (filter !== null) {
  const apply = () => {
    const data = new FormData(filter);
    const severities = data.getAll('severity');
    const rule = data.get('rule');
    const words = data.get('text').toLowerCase();
    let shown = 0;
    for (const file of document.querySelectorAll('.file')) {
      let of_file = 0;
      for (const one of file.querySelectorAll('.finding')) {
        const fits = severities.includes(one.dataset.severity) && (rule === '' || rule === one.dataset.rule) &&
            (words === '' || (file.dataset.path + ' ' + one.textContent).toLowerCase().includes(words));
        one.hidden = !fits;
        of_file += fits ? 1 : 0;
      }
      file.hidden = of_file === 0;
      shown += of_file;
    }
    document.getElementById('shown').textContent = shown + ' shown';
  };
  filter.hidden = false;
  filter.addEventListener('input', apply);
  filter.addEventListener('submit', (event) => event.preventDefault());
  apply();
}

addEventListener('beforeprint', () => {
  for (const details of document.querySelectorAll('details')) {
    details.open = true;
  }
});
