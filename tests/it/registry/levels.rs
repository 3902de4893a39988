//! Compatibility: the levels, what they refuse, and asking beforehand.

use super::*;

against_both!(
    an_incompatible_schema_is_refused_with_the_field,
    every_level_is_set_and_read_again,
    compatibility_is_told_beforehand,
);

async fn an_incompatible_schema_is_refused_with_the_field(url: &str) {
    let (client, subject) = (client(url), unique("refused"));
    client.set_config(&subject, Level::Backward).await.unwrap();
    client
        .register(&subject, &record(&subject, NAME), &[])
        .await
        .unwrap();
    let breaking = record(&subject, &format!("{NAME},{PHONE}"));
    let error = client.register(&subject, &breaking, &[]).await.unwrap_err();
    let RegisterError::Incompatible { reasons, .. } = &error else {
        panic!("{error:?}");
    };
    assert!(
        reasons.iter().any(|reason| reason.contains("phone")),
        "{reasons:?}"
    );
    assert!(!reasons[0].contains("Exception"), "{reasons:?}");
    let failure = Failure::from(error);
    assert_eq!(failure.kind, ErrorKind::Contract);
    assert!(
        failure.message.contains("phone") && failure.message.contains(&subject),
        "{failure}"
    );

    let evolved = record(&subject, &format!("{NAME},{PHONE_OPTIONAL}"));
    client.register(&subject, &evolved, &[]).await.unwrap();
    assert_eq!(client.versions(&subject).await.unwrap(), [1, 2]);
}

async fn every_level_is_set_and_read_again(url: &str) {
    let (client, subject) = (client(url), unique("levels"));
    // The registry's own, before and after the subject is there.
    assert_eq!(client.config(&subject).await.unwrap(), Level::None);
    client
        .register(&subject, &record(&subject, NAME), &[])
        .await
        .unwrap();
    assert_eq!(client.config(&subject).await.unwrap(), Level::None);
    for level in Level::ALL {
        client.set_config(&subject, level).await.unwrap();
        assert_eq!(client.config(&subject).await.unwrap(), level);
    }
}

async fn compatibility_is_told_beforehand(url: &str) {
    let (client, subject) = (client(url), unique("beforehand"));
    let breaking = record(&subject, &format!("{NAME},{PHONE}"));
    let evolved = record(&subject, &format!("{NAME},{PHONE_OPTIONAL}"));
    for against in [Against::Latest, Against::All] {
        assert!(
            client
                .compatible(&subject, against, &breaking, &[])
                .await
                .unwrap()
                .is_compatible
        );
    }
    client
        .register(&subject, &record(&subject, NAME), &[])
        .await
        .unwrap();
    client.set_config(&subject, Level::Backward).await.unwrap();
    for against in [Against::Latest, Against::Version(1), Against::All] {
        let refused = client
            .compatible(&subject, against, &breaking, &[])
            .await
            .unwrap();
        assert!(!refused.is_compatible, "{against:?}");
        // Release 3 gives no reasons here.
        assert!(
            refused.messages.iter().all(|reason| reason.contains("phone")),
            "{refused:?}"
        );
        let passed = client.compatible(&subject, against, &evolved, &[]).await.unwrap();
        assert!(passed.is_compatible, "{against:?}: {passed:?}");
    }
    let error = client
        .compatible(&subject, Against::Version(9), &evolved, &[])
        .await
        .unwrap_err();
    assert!(
        matches!(error, CompatibilityError::NoSuchVersion { version: 9, .. }),
        "{error:?}"
    );
    let error = client
        .compatible(&subject, Against::Latest, "not JSON", &[])
        .await
        .unwrap_err();
    assert!(matches!(error, CompatibilityError::Invalid { .. }), "{error:?}");
    assert_eq!(
        client.versions(&subject).await.unwrap(),
        [1],
        "asking registers nothing"
    );
}
