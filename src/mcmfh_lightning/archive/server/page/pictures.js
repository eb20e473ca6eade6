// Pictures come when they are about to be seen. With a token they are fetched as data, for <img> sends no header.

const objectUrls = new Set();

const coming = new IntersectionObserver(
  (entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      coming.unobserve(target);
      fetchPicture(target);
    }
  },
  { rootMargin: "300px" },
);

async function fetchPicture(image) {
  try {
    const url = URL.createObjectURL(await (await request(image.dataset.path)).blob());
    objectUrls.add(url);
    image.src = url;
  } catch {
    image.dispatchEvent(new Event("error"));
  }
}

function film(id) {
  const image = element("img", { alt: `Film of case ${id}`, loading: "lazy", decoding: "async" });
  if (token.get() === null) {
    image.src = picturePath(id);
  } else {
    image.dataset.path = picturePath(id);
    coming.observe(image);
  }
  return image;
}

function forgetPictures() {
  coming.disconnect();
  for (const url of objectUrls) URL.revokeObjectURL(url);
  objectUrls.clear();
}
